// The probability that a word is right: asr/decoding/confidence.py.

const LOWEST = -8, LEAST_LANGUAGE = -20, LARGEST_EXPONENT = 30;

// The confidence of each word of a hypothesis, whose words are at `spans`; `language` are the log-probabilities of the
// words and of the end in the language model, if there is one.
export function confidences(weights, { characters, steps, logProbs: atSteps }, logProbs, spans, language) {
  if (!spans.length) return [];
  const explained = new Float64Array(logProbs.steps), summed = new Float64Array(logProbs.steps + 1), behind = new Float64Array(logProbs.steps);
  for (let step = 0; step < logProbs.steps; step++) explained[step] = Math.max(logProbs.at(step, 0), LOWEST);
  steps.forEach((step, place) => { explained[step] = Math.max(atSteps[place], LOWEST); });
  for (let step = 0; step < logProbs.steps; step++) {
    let highest = -Infinity;
    for (let symbol = 0; symbol < logProbs.symbols; symbol++) highest = Math.max(highest, logProbs.at(step, symbol));
    behind[step] = Math.max(highest - explained[step], 0);
    summed[step + 1] = summed[step] + behind[step];
  }
  const words = spans.map(([start, end]) => {
    const values = atSteps.slice(start, end).map((one) => Math.max(one, LOWEST));
    const first = steps[start], last = steps[end - 1] + 1, length = end - start;
    return {
      mean: values.reduce((sum, one) => sum + one, 0) / length,
      least: Math.min(...values),
      deficit: (summed[last] - summed[first]) / length,
      worst: behind.subarray(first, last).reduce((one, other) => Math.max(one, other), 0),
      length, pace: (last - first) / length,
    };
  });
  const mean = words.reduce((sum, one) => sum + one.mean, 0) / words.length;
  let spaced = 0;
  return words.map((word, place) => {
    if (place && spans[place][0] > spans[place - 1][1]) spaced++;
    const features = [
      1, word.mean, word.least, Math.exp(word.least), word.deficit, Math.log1p(word.deficit), word.worst, Math.log(word.length), Math.log(word.pace), mean,
      Math.max(language ? language[spaced] : 0, LEAST_LANGUAGE), Math.max(language ? language[spaced + 1] : 0, LEAST_LANGUAGE),
    ];
    const sum = features.reduce((total, one, number) => total + one * weights[number], 0);
    const exponent = Math.min(Math.max(sum, -LARGEST_EXPONENT), LARGEST_EXPONENT);
    return Math.round(1000 / (1 + Math.exp(-exponent))) / 1000;
  });
}

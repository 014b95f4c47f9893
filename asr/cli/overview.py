"""The commands of `asr`, and the text of `asr --help`."""

COMMANDS = {
    "transcribe": "transcribe recordings",
    "listen": "recognise speech while it is spoken: from a microphone, a pipe, a file",
    "serve": "transcribe recordings for other programs, over HTTP, as OpenAI's API does",
    "align": "find the time of every word of a known text (forced alignment)",
    "prepare": "make a manifest of recordings, or of a corpus as it is distributed",
    "train": "train a model on your own recordings",
    "average": "average the weights of several epochs of a training",
    "doctor": "check recordings and texts for faults before training",
    "evaluate": "measure error rates on transcribed recordings",
    "lm": "train a language model on texts, or adapt one, for decoding",
    "train-text": "train a model that predicts punctuation and capitals, on texts",
    "lexicon": "make a pronunciation lexicon of the words of texts, manifests and language models",
    "tune": "find the decoder settings with the lowest error rate",
    "info": "describe a model bundle",
    "export": "export a model for other programs: ONNX, LiteRT, TensorFlow",
    "card": "write the model card of a bundle",
    "push": "copy a bundle to a folder, a Git remote or the Hugging Face hub",
    "pull": "copy a bundle from there, verified",
    "completion": "print the completion script of a shell",
}

OVERVIEW = """\
asr: speech recognition with small LSTM models, on your own machine.

Usage: asr COMMAND [FILE...] [key=value...]

Commands:
{commands}

Examples:
  asr transcribe interview.mp3
  asr transcribe recordings/ format=json output_dir=texts
  asr listen
  asr serve port=8000
  asr align chapter.mp3 chapter.txt format=srt
  asr evaluate test.jsonl bundle=runs/mine/best against=[greedy]
  asr prepare recordings my_recordings/ output=train.jsonl
  asr doctor train.jsonl valid.jsonl
  asr train data.train=train.jsonl data.valid=valid.jsonl
  asr lm books.txt output=english.lm
  asr COMMAND --help               all settings of a command, with examples

Exit codes: 0 done, 1 some inputs or a training failed, 2 usage or configuration, 3 significantly worse than a
baseline, 129 terminal closed, 130 interrupted, 143 terminated."""

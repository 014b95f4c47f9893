#!/usr/bin/env bash
# Makes the models that ship: language models, lexicon, `en`, `tiny`, `live`, `small`; tunes them and measures them.
#
#   scripts/research/make_models.sh SPEECH TEXT OUTPUT [SETTING...]
#
# SPEECH holds the manifests of data/README.md, TEXT books.txt.xz, librispeech-train-clean-100.txt.xz, spoken.txt.xz and
# podcasts.txt.xz (by podcast_documents.py), ASR_NOISE names the folder of recorded noise (by default ../noise beside
# SPEECH); OUTPUT gets runs, bundles and reports. Every SETTING goes to every training, such as
# training.precision=bfloat16. What is finished is not done again, and what was interrupted goes on. docs/models.md says
# how long it took.
set -euo pipefail
if [ $# -lt 3 ] || [ ! -d "$1" ] || [ ! -d "$2" ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
speech=$(realpath "$1") text=$(realpath "$2")
mkdir -p "$3"
output=$(realpath "$3")
shift 3
export ASR_SPEECH=$speech ASR_NOISE=${ASR_NOISE:-$(dirname "$speech")/noise}
scripts=$(realpath "$(dirname "$0")")
read_speech=("$speech"/librispeech/{train-clean-5,train-clean-100-part,dev-clean-rest,dev-other-part}.jsonl)
held_out=$speech/librispeech/dev-clean-heldout.jsonl

[ -e "$speech/nonspeech/nonspeech.jsonl" ] ||
    python "$scripts/make_nonspeech.py" "$speech/nonspeech" --speech "$speech/librispeech/train-clean-5.jsonl"

# Short commands and spelled letters are few words among 31 million of books: named ten times, they count ten times.
commands=()
for _ in {1..10}; do commands+=("$speech/an4/train.jsonl"); done
[ -e "$output/english.lm" ] ||
    asr lm "$text/books.txt.xz" "$text/librispeech-train-clean-100.txt.xz" "${read_speech[@]}" \
        "$speech"/{arctic,kathleen,ljspeech-part}.jsonl "${commands[@]}" \
        "$speech"/speechocean762/train.jsonl "$speech"/speechocean762/train.jsonl \
        order=4 max_ngrams=3000000 output="$output/english.lm"

# The speech of today: dialogue, podcasts, and frequent words that no book of 1900 has.
[ -e "$output/spoken.txt.xz" ] || python "$scripts/spoken_sentences.py" "$text/spoken.txt.xz" "$output/spoken.txt.xz"
[ -e "$output/podcasts.txt.xz" ] ||
    python "$scripts/spoken_sentences.py" "$text/podcasts.txt.xz" "$output/podcasts.txt.xz" --training-part
[ -e "$output/words.arpa" ] || python "$scripts/word_frequencies.py" "$output/words.arpa" --most 77000
[ -e "$output/dialogue.lm" ] ||
    asr lm "base=$output/english.lm" "$output/spoken.txt.xz" order=4 max_ngrams=300000 text_weight=0.1031 quantized=false \
        output="$output/dialogue.lm"
[ -e "$output/podcasts.lm" ] ||
    asr lm "base=$output/dialogue.lm" "$output/podcasts.txt.xz" order=4 max_ngrams=700000 text_weight=0.2 quantized=false \
        output="$output/podcasts.lm"
[ -e "$output/today.lm" ] ||
    asr lm "base=$output/podcasts.lm" "$output/words.arpa" text_weight=0.03 output="$output/today.lm" \
        "valid=[$held_out]"

# For the second pass: the same texts and those dialogues. Eight minutes on a GPU (training.bfloat16=true training.rows=512).
[ -e "$output/lstm.onnx" ] ||
    asr lm kind=lstm "$text/books.txt.xz" "$text/librispeech-train-clean-100.txt.xz" "${read_speech[@]}" \
        "$speech"/{arctic,kathleen,ljspeech-part}.jsonl "${commands[@]}" \
        "$speech"/speechocean762/train.jsonl "$speech"/speechocean762/train.jsonl "$output/spoken.txt.xz" \
        run_dir="$output/lstm-run" output="$output/lstm.onnx" "valid=[$held_out]" "base=$output/today.lm"

[ -e "$output/g2p.npz" ] || python "$scripts/train_g2p.py" "$output/g2p.npz"
[ -e "$output/train-lexicon.txt" ] ||
    asr lexicon "${read_speech[@]}" "$speech"/{arctic,kathleen,ljspeech-part,an4/train,speechocean762/train}.jsonl \
        "$speech/librispeech/train-clean-100-speakers.jsonl" g2p="$output/g2p.npz" output="$output/train-lexicon.txt"
[ -e "$output/lexicon.txt" ] || asr lexicon "$output/today.lm" g2p="$output/g2p.npz" output="$output/lexicon.txt"

lexicon=data.lexicon=$output/train-lexicon.txt
asr train experiment=en_wide run_dir="$output/en-first-run" "$lexicon" "$@"
asr train experiment=en_wide_mmi init="$output/en-first-run/last" run_dir="$output/en-wide-run" "$lexicon" "$@"
asr train experiment=en_again init="$output/en-wide-run/last" run_dir="$output/en-again-run" "$lexicon" "$@"
asr train experiment=en_again_mmi init="$output/en-again-run/last" run_dir="$output/en-run" "$lexicon" "$@"
# What docs/punctuation.md trains, if it is there.
punctuation=()
[ ! -e "$output/punctuation.onnx" ] || punctuation=(--punctuation "$output/punctuation.onnx")
[ -e "$output/en" ] ||
    python "$scripts/build_pretrained.py" "$output/en-run" "$output/en" "$held_out" --lm "$output/today.lm" \
        --pronunciations "$output/lexicon.txt" --g2p "$output/g2p.npz" --second-pass "$output/lstm.onnx" "${punctuation[@]}" \
        --search decoder.score_margin=12 decoder.min_symbol_log_prob=-6 --compact --epoch last --beam-width 96 --trials 32 \
        --recipe en_again_mmi --report "$output/en-report"

asr train experiment=tiny run_dir="$output/tiny-run" "$@"
[ -e "$output/tiny" ] ||
    python "$scripts/build_pretrained.py" "$output/tiny-run" "$output/tiny" "$held_out" --recipe tiny \
        --report "$output/tiny-report"

asr train experiment=live_student training.teacher="$output/en" run_dir="$output/live-run" "$lexicon" "$@"
[ -e "$output/live" ] ||
    python "$scripts/build_pretrained.py" "$output/live-run" "$output/live" "$held_out" --recipe live_student --compact --share en \
        --lm "$output/en/language.lm" --pronunciations "$output/en/pronunciations.npz" --g2p "$output/en/g2p.npz" \
        --beam-width 128 --trials 32 --report "$output/live-report"

# For small machines: a language model of a tenth of the size, and the pronunciations of its words alone.
[ -e "$output/small.lm" ] ||
    asr lm "$text/books.txt.xz" "$text/librispeech-train-clean-100.txt.xz" "$speech/librispeech/train-clean-5.jsonl" \
        order=3 vocabulary=40000 max_ngrams=450000 output="$output/small.lm" "valid=[$held_out]"
asr train experiment=small training.teacher="$output/en" run_dir="$output/small-run" "$lexicon" "$@"
[ -e "$output/small" ] ||
    python "$scripts/build_pretrained.py" "$output/small-run" "$output/small" "$held_out" --recipe small --compact --share en \
        --lm "$output/small.lm" --pronunciations "$output/en/pronunciations.npz" --known-words --g2p "$output/en/g2p.npz" \
        --punctuation "$output/en/punctuation.onnx" --epoch last --beam-width 96 --trials 32 --report "$output/small-report"

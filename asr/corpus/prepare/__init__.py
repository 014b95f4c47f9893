"""Makes manifests of corpora as they are distributed, and of recordings of your own.

A corpus is a module of this package that lists its utterances, and a line of `CORPORA`.
"""

from asr.corpus.prepare import an4, common_voice, librispeech, ljspeech, recordings, speechocean762

CORPORA = {
    "recordings": recordings.CORPUS,
    "an4": an4.CORPUS,
    "common_voice": common_voice.CORPUS,
    "librispeech": librispeech.CORPUS,
    "ljspeech": ljspeech.CORPUS,
    "speechocean762": speechocean762.CORPUS,
}
"""by the names that `asr prepare` takes"""

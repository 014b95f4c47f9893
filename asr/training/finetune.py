"""Fine-tuning: the settings of a training that starts from a bundle, and the weights that it keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from asr.acoustic.outputs import CHARACTERS, CHARACTERS_MMI, PHONES
from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.pronunciation.phones import PhoneSet
from asr.settings.commands import ExperimentConfig
from asr.settings.decoding import BeamConfig
from asr.text.alphabet import BLANK, Alphabet
from asr.text.pieces import alphabet_settings

# Settings that may differ from the bundle's: the weights do not depend on them.
_FREE = {"features.dither", "model.dropout"}
_OUTPUT, _MMI_OUTPUT, _PHONE_OUTPUT = (f"{name}/" for name in (CHARACTERS, CHARACTERS_MMI, PHONES))
# Output layers can be added or left out.
_OPTIONAL = {"model.mmi_output", "model.phone_output"}

Settings = TypeVar("Settings", bound=ExperimentConfig)


def adopt_settings(settings: Settings, bundle: Bundle, chosen: Collection[str]) -> Settings:
    """Settings with features, model, normaliser and alphabet of a bundle, except for those that the user gave.

    Parameters
    ----------
    settings : ExperimentConfig
    bundle : Bundle
    chosen : collection of str
        Names of settings and groups that the user gave (`model.depth`, `normalizer`): these stay as they are, so that
        `check_fits` can refuse those that the bundle was not made for.
    """

    def mine(prefix: str, part: Any, theirs: Any) -> Any:
        if prefix in chosen:
            return part
        # An output layer may be added by a recipe too; to leave one out, a user has to say so.
        kept = {*chosen, *_FREE, *(name for name in _OPTIONAL if getattr(settings.model, name.removeprefix("model.")))}
        return replace(
            theirs, **{one.name: getattr(part, one.name) for one in fields(part) if f"{prefix}.{one.name}" in kept}
        )

    alphabet_chosen = any(name.startswith("alphabet.") for name in chosen)
    model = mine("model", settings.model, bundle.model)
    if alphabet_chosen and not {"model", "model.phone_output"}.intersection(chosen):
        model = replace(model, phone_output=settings.model.phone_output)  # the phones are those of another language
    return replace(
        settings,
        features=mine("features", settings.features, bundle.log_mel.settings),
        model=model,
        normalizer=mine("normalizer", settings.normalizer, bundle.normalizer),
        alphabet=settings.alphabet if alphabet_chosen else alphabet_settings(bundle.alphabet),
    )


def check_fits(settings: ExperimentConfig, bundle: Bundle) -> None:
    """Refuse a bundle with other features or another model.

    Raises
    ------
    ConfigError
        Naming every setting that differs.
    """
    problems = []
    for prefix, mine, theirs in (
        ("features", settings.features, bundle.log_mel.settings),
        ("model", settings.model, bundle.model),
    ):
        for one in fields(mine):
            name = f"{prefix}.{one.name}"
            wanted, found = getattr(theirs, one.name), getattr(mine, one.name)
            if wanted != found and name not in _FREE | _OPTIONAL:
                problems.append(f"{name} is {wanted} there and {found} here")
    if problems:
        raise ConfigError(
            f"init={bundle.path}: this bundle was made for other settings: {'; '.join(problems)}. "
            "Leave these out to use the bundle's, or train without init"
        )


def kept_decoder(bundle: Bundle | None, alphabet: Alphabet, phones: PhoneSet | None) -> BeamConfig | None:
    """The decoder that a model which began from a bundle takes over from it; None for greedy decoding.

    Parameters
    ----------
    bundle : Bundle or None
        None for a model that began from random weights.
    alphabet, phones
        Of the new model: a decoder for other symbols or phones cannot be used.
    """
    if bundle is None or bundle.decoder is None or bundle.alphabet != alphabet:
        return None
    return None if bundle.decoder.pronunciations is not None and bundle.phones != phones else bundle.decoder


def kept_tagger(bundle: Bundle | None, alphabet: Alphabet) -> bytes | None:
    """The model of punctuation that a model which began from a bundle takes over from it; None if it has none.

    Parameters
    ----------
    bundle : Bundle or None
        None for a model that began from random weights.
    alphabet
        Of the new model: one with other symbols writes another language.
    """
    return bundle.tagger_content() if bundle is not None and bundle.alphabet == alphabet else None


def initial_weights(
    bundle: Bundle, fresh: Mapping[str, npt.NDArray[np.float32]], alphabet: Alphabet, phones: PhoneSet | None = None
) -> tuple[dict[str, npt.NDArray[np.float32]], str]:
    """The weights of a bundle for a model with another alphabet, or with other output layers.

    Parameters
    ----------
    bundle : Bundle
    fresh : mapping of str to arrays
        The random initial weights of the new model.
    alphabet : Alphabet
        Of the new model.
    phones : PhoneSet, optional
        Of the new model's output over phones.

    Returns
    -------
    weights : dict of str to arrays
        The bundle's, and for a second output those of its first, if it has one alone; of output layers, the columns of
        the blank and of symbols that both alphabets have, and fresh ones for the rest.
    message : str
        How many symbols were kept and how many are new, for the log.
    """
    weights = bundle.weights()
    second = {name for name in fresh if name.startswith(_MMI_OUTPUT)}
    for name in second - weights.keys():
        weights[name] = weights[name.replace(_MMI_OUTPUT, _OUTPUT)]
    for name in [name for name in fresh if name.startswith(_PHONE_OUTPUT)]:
        if phones != bundle.phones or name not in weights:
            weights[name] = fresh[name]
    weights = {name: array for name, array in weights.items() if name in fresh}
    if alphabet == bundle.alphabet:
        return weights, "all weights kept"
    pairs = [(BLANK, BLANK)] + [
        (mine, theirs)
        for mine, symbol in enumerate(alphabet.symbols, start=BLANK + 1)
        if (theirs := bundle.alphabet.number(symbol)) is not None
    ]
    mine, theirs = np.array(pairs).T
    for name in [name for name in weights if name.startswith((_OUTPUT, _MMI_OUTPUT))]:
        remade = fresh[name].copy()
        remade[..., mine] = weights[name][..., theirs]
        weights[name] = remade
    new = [symbol for symbol in alphabet.symbols if bundle.alphabet.number(symbol) is None]
    shown = "".join(new[:40]) + ("..." if len(new) > 40 else "")
    return weights, f"output layer remade: {len(pairs) - 1} symbols kept, {len(new)} new ({shown or 'none'})"

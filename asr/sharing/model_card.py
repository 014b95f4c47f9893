"""The model card of a bundle in Hugging Face's format: README.md with YAML that has a `model-index`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.evaluation.baseline import REPORT_FORMAT, no_report, read_report_object
from asr.evaluation.render.text_report import plain
from asr.files import typed_path

_TASK = {"type": "automatic-speech-recognition", "name": "Automatic Speech Recognition"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """The error rates of a bundle on a test set, as shares of 1."""

    dataset: str
    wer: float
    wer_interval: tuple[float, float] | None
    cer: float | None
    utterances: int | None
    decoder: str | None
    policy: str | None


def read_measurements(path: str | Path, *, system: str | None = None) -> list[Measurement]:
    """The error rates of a system in a report.json of `asr evaluate`, on one or several test sets.

    Parameters
    ----------
    path : str or Path
    system : str, optional
        The name of the system; the first one by default, which must have been run and not read from a file.

    Raises
    ------
    ConfigError
        If the file is no such report, or has no such system.
    """
    folder = typed_path(path).parent
    try:
        report = _read(typed_path(path), path)
        if "sets" not in report:
            return [_measurement(report, ", ".join(report["references"]["names"]), path, system)]
        sets = [(str(one["name"]), folder / str(one["report"])) for one in report["sets"]]
        return [_measurement(_read(file, file), name, path, system) for name, file in sets]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise no_report(f"report={path}") from error


def _read(file: Path, shown: str | Path) -> dict[str, Any]:
    report = read_report_object(file, f"report={shown}")
    if report.get("format") != REPORT_FORMAT or "systems" not in report:
        raise ConfigError(f"report={shown}: is not a report.json of this version of `asr evaluate`")
    return report


def _measurement(report: Mapping[str, Any], dataset: str, path: str | Path, system: str | None) -> Measurement:
    names = [one["name"] for one in report["systems"]]
    if system is not None and system not in names:
        raise ConfigError(f"report={path}: has no system {system!r}, but {', '.join(names)}")
    found = report["systems"][0 if system is None else names.index(system)]
    if "hypotheses" in found["about"]:
        raise ConfigError(f"report={path}: {found['name']} is a file of texts, not a bundle; choose one by system=NAME")
    words = found["words"]
    if words["rate"] is None:
        raise ConfigError(f"report={path}: {dataset} has no reference words, so there is no rate")
    interval = next(iter(words["intervals"]), None)
    return Measurement(
        dataset,
        words["rate"],
        (interval["low"], interval["high"]) if interval else None,
        found["characters"]["rate"],
        found["utterances"]["total"],
        found["about"].get("decoder"),
        f"{report['policy']['version']} ({report['policy']['name']})",
    )


def stored_measurements(bundle: Bundle) -> list[Measurement]:
    """The error rates that a bundle has in its own card."""
    found = []
    for dataset, values in bundle.error_rates.items():
        if not isinstance(values, Mapping) or not _is_share(values.get("wer")):
            continue
        ends = values.get("wer_interval")
        is_interval = isinstance(ends, list) and len(ends) == 2 and all(map(_is_share, ends))
        interval = tuple(ends) if ends and is_interval else None
        cer, utterances, decoder = (values.get(name) for name in ("cer", "utterances", "decoder"))
        found.append(
            Measurement(
                dataset,
                values["wer"],
                interval,
                cer if _is_share(cer) else None,
                utterances if isinstance(utterances, int) else None,
                decoder if isinstance(decoder, str) else None,
                None,
            )
        )
    return found


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1000


def render_model_card(
    bundle: Bundle,
    measurements: Sequence[Measurement],
    *,
    name: str,
    languages: Sequence[str] = (),
    license_name: str | None = None,
    source: str | None = None,
) -> str:
    """The content of README.md.

    Parameters
    ----------
    bundle : Bundle
    measurements : sequence of Measurement
    name : str
        What the model is called.
    languages : sequence of str
        Codes of ISO 639, such as en.
    license_name : str, optional
        As the hub names licences, such as apache-2.0.
    source : str, optional
        Where `asr pull` finds the bundle.
    """
    header: dict[str, Any] = {}
    if languages:
        header["language"] = list(languages)
    if license_name:
        header["license"] = license_name
    header |= {"library_name": "asr", "pipeline_tag": _TASK["type"]}
    header["tags"] = [_TASK["type"], "speech", "ctc", "onnx", bundle.model.cell.value]
    if measurements:
        header["metrics"] = ["wer", "cer"] if any(one.cer is not None for one in measurements) else ["wer"]
        header["model-index"] = [{"name": name, "results": [_result(one) for one in measurements]}]
    body = [f"# {plain(name)}", "", *_about(bundle), "", "## Use", "", "```sh"]
    body += [f"asr pull {source} {_slug(name)}"] if source else []
    body += [f"asr transcribe interview.mp3 bundle=./{_slug(name)}", "```", ""]
    body += _table(measurements) if measurements else ["No error rates were measured.", ""]
    body += _training(bundle)
    return "---\n" + "".join(_yaml(header)) + "---\n\n" + "\n".join(body).rstrip() + "\n"


def _result(one: Measurement) -> dict[str, Any]:
    metrics = [{"type": "wer", "value": round(100 * one.wer, 2), "name": "WER"}]
    if one.cer is not None:
        metrics.append({"type": "cer", "value": round(100 * one.cer, 2), "name": "CER"})
    return {"task": _TASK, "dataset": {"name": one.dataset, "type": _slug(one.dataset)}, "metrics": metrics}


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text).strip("-.").lower() or "model"


def _about(bundle: Bundle) -> list[str]:
    model, features = bundle.model, bundle.log_mel.settings
    direction = "bidirectional " if model.bidirectional else ""
    language = " and a language model" if bundle.decoder is not None and bundle.decoder.lm is not None else ""
    return [
        f"A speech recogniser of `asr`: {model.depth} {direction}{model.cell.value.upper()} layers of {model.units} "
        f"units over {features.mels} log-mel bands, trained with CTC, {bundle.bytes_on_disk / 1e6:.1f} MB{language}. "
        f"It writes {len(bundle.alphabet.symbols)} symbols from audio of {features.sample_rate:,} Hz.",
    ]


def _table(measurements: Sequence[Measurement]) -> list[str]:
    lines = [
        "## Error rates",
        "",
        "| test set | WER | 95 % interval | CER | utterances | decoder |",
        "|---|---|---|---|---|---|",
    ]
    for one in measurements:
        ends = one.wer_interval
        cells = [
            plain(one.dataset),
            f"{100 * one.wer:.2f} %",
            f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f} %" if ends else "",
            "" if one.cer is None else f"{100 * one.cer:.2f} %",
            "" if one.utterances is None else f"{one.utterances:,}",
            plain(one.decoder or ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    policies = dict.fromkeys(one.policy for one in measurements if one.policy)
    return [*lines, "", *(f"Scoring policy {plain(policy)}." for policy in policies), ""]


def _training(bundle: Bundle) -> list[str]:
    provenance = bundle.provenance
    rows = []
    for key, what in (("train", "training data"), ("valid", "validation data")):
        if isinstance(names := provenance.get(key), list) and names:
            rows.append(f"- {what}: {', '.join(plain(str(one)) for one in names)}")
    if isinstance(hours := provenance.get("train_hours"), int | float):
        rows.append(f"- {hours:g} hours of speech")
    if isinstance(init := provenance.get("init"), Mapping) and init.get("bundle"):
        rows.append(f"- fine-tuned from {plain(str(init['bundle']))}")
    return ["## Training", "", *rows, ""] if rows else []


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Lists and mappings as YAML, with texts as JSON writes them, which YAML reads."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(one, Mapping | list):
                yield f"{indent}{key}:\n"
                yield from _yaml(one, indent + "  ")
            else:
                yield f"{indent}{key}: {json.dumps(one, ensure_ascii=False)}\n"
        return
    for one in value:
        if isinstance(one, Mapping | list):
            lines = list(_yaml(one, indent + "  "))
            yield f"{indent}- {lines[0][len(indent) + 2 :]}"
            yield from lines[1:]
        else:
            yield f"{indent}- {json.dumps(one, ensure_ascii=False)}\n"

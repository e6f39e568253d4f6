"""``export`` and ``bundle``: model bundles, made, looked into and proven."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_infer.cli.shared import examples, format_option, print_json, print_table
from stream_infer.config.options import OutputFormat
from stream_infer.errors import ExportRefused

if TYPE_CHECKING:
    from stream_infer.export import ExportReport


@click.command(
    short_help="Make a model bundle of a trained model.",
    epilog=examples(
        "stream-infer export fraud.joblib --events sample.avro --to fraud-7.bundle.jar --threshold 0.92",
        "stream-infer export lightgbm.txt --features features.toml --events sample.jsonl --to fraud-7.bundle.jar",
        "stream-infer export fraud.onnx --features features.toml --events sample.avro --to fraud-7.bundle.jar",
        "stream-infer export iris.onnx --features iris.toml --events iris.jsonl --to iris-1.bundle.jar \\",
        "    --score probabilities:2 --classes setosa,versicolor,virginica",
    ),
)
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--features",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Feature list (TOML): which field of the event fills which cell.  [default: the names in the model]",
)
@click.option(
    "--events",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Sample of real events: .avro, .jsonl or .parquet. Becomes the bundle's proof and profile.",
)
@click.option("--to", type=click.Path(path_type=Path), required=True, help="NAME-VERSION.bundle.jar, or a folder.")
@click.option("--name", help="Name of the model.  [default: from --to]")
@click.option("--version", help="Version of the model.  [default: from --to]")
@click.option("--threshold", type=float, default=0.5, show_default=True, help="Flag events from this score on.")
@click.option("--score", metavar="OUTPUT[:COLUMN]", help="Which output is the score.  [default: the only possible one]")
@click.option("--classes", metavar="A,B,...", help="Labels of the output's columns.  [default: the graph's]")
@click.option(
    "--from",
    "kind",
    type=click.Choice(["onnx", "pickle", "lightgbm", "xgboost", "catboost", "torch"]),
    help="What MODEL is. A pickle runs the code in it.  [default: from its suffix]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-5,
    show_default=True,
    help="Largest difference from the original model; relative above 1.",
)
@click.option("--contrib-ops", is_flag=True, help="Allow ONNX Runtime's own operators (com.microsoft).")
@click.option("--explain", is_flag=True, help="Write nothing: say what cannot be exported, and the next best route.")
@click.option("--description", default="", help="A sentence about the model, for people.")
@click.option("--license", default="", metavar="SPDX", help="Licence of the model, such as Apache-2.0.")
@format_option
def export(
    model: Path,
    events: Path,
    output_format: OutputFormat,
    classes: str | None,
    explain: bool,
    **options: Any,
) -> int:
    """Make a model bundle of MODEL and sample events.

    MODEL is a pickle of a scikit-learn, LightGBM, XGBoost, CatBoost or PyTorch model (.joblib, .pkl), LightGBM's text
    (.txt), XGBoost's .json or .ubj, CatBoost's .cbm, a program of torch.export (.pt2), or ONNX (.onnx). Reading a
    pickle runs the code in it: export only what you trust.

    Everything is proven before anything is written: thousands of rows answered as by the original, input widths and
    types, a batch dimension of any size, golden events.
    """
    import msgspec

    from stream_infer.export import export as export_model

    labels = [_class_label(label) for label in classes.split(",")] if classes else None
    try:
        report = export_model(model, sample=events, classes=labels, write=not explain, **options)
    except ExportRefused as error:
        if not explain:
            raise
        click.echo(f"cannot be exported: {error}\n{_ROUTES}")
        return error.exit_code
    if output_format == "json":
        print_json(msgspec.to_builtins(report, enc_hook=str))
    else:
        _show_report(report)
    return 0


_ROUTES = """other ways, the nearest first:
  1. another estimator or operator that has a counterpart in ONNX, trained on the same columns
  2. that part written as ONNX operators of your own, and the ONNX file exported
  3. a custom-operator library, or a runtime of your own (stream_infer.ports.Runtime): no bundle, and Python only"""


def _class_label(text: str) -> int | str:
    label = text.strip()
    return int(label) if label.removeprefix("-").isdecimal() else label


def _show_report(report: ExportReport) -> None:
    low, middle, high = report.score_quantiles
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(report.rejected.items()))
    if report.digest:
        click.echo(f"{report.path}: {report.name} {report.version}, {report.size_bytes} bytes, digest {report.digest}")
    else:
        click.echo(f"{report.name} {report.version} can be exported; nothing was written")
    click.echo(
        f"sample: {report.sample_events} events, {report.scored_events} scored, {report.flagged_events} flagged, "
        f"{f'rejected: {rejected}' if rejected else 'none rejected'}"
    )
    click.echo(f"scores: lowest {low:.6g}, median {middle:.6g}, highest {high:.6g}")
    if report.parity is not None:
        parity = report.parity
        click.echo(
            f"parity: {parity.rows} rows as {parity.source}: largest difference {parity.max_abs:.2g}, "
            f"{parity.flips} decisions changed"
        )
    if report.float32_events:
        click.echo(
            f"float32: {report.float32_events} events of the sample stand so near a threshold that the original scores "
            "them otherwise as float64; train on float32 and there is none"
        )
    click.echo(f"proof:  {report.golden_events} golden events; needs ONNX Runtime {report.min_onnxruntime} or later")


@click.group()
def bundle() -> None:
    """Look into a model bundle, or prove it."""


@bundle.command("inspect", epilog=examples("stream-infer bundle inspect models/fraud-7.bundle.jar --format json"))
@click.argument("path", type=click.Path(path_type=Path))
@format_option
def bundle_inspect(path: Path, output_format: OutputFormat) -> None:
    """Show what the model in PATH expects and answers. Checksums are checked, the model is not run."""
    import msgspec

    from stream_infer.bundle import ModelBundle

    loaded = ModelBundle.load(path)
    facts = {"digest": loaded.digest, **msgspec.to_builtins(loaded.manifest)}
    if output_format == "json":
        print_json(facts)
    else:
        _show_bundle(facts)


@bundle.command("verify", epilog=examples("stream-infer bundle verify models/fraud-7.bundle.jar"))
@click.argument("path", type=click.Path(path_type=Path))
def bundle_verify(path: Path) -> None:
    """Prove PATH on this machine: checksums, graph, and every golden event's score. `run` always does this first."""
    from stream_infer.bundle import ModelBundle
    from stream_infer.scoring import open_model

    loaded = ModelBundle.load(path)
    open_model(loaded).close()
    model = loaded.identity()
    rows = loaded.manifest.golden.rows
    click.echo(f"{path}: {model.name} {model.version} is whole, and {rows} golden events agree")


def _show_bundle(facts: Mapping[str, Any]) -> None:
    model, decision, score = facts["model"], facts["decision"], facts["score"]
    click.echo(f"model      {model['name']} {model['version']}  {model.get('description', '')}".rstrip())
    click.echo(f"digest     {facts['digest']}")
    if plugin := facts.get("runtime"):
        click.echo(f"runtime    not exportable: runs in Python only, by runtime {plugin['name']}")
    column = f", column {score['column']}" if score.get("column") is not None else ""
    click.echo(f"score      {score['output']}{column}; flagged from {decision['threshold']:g}")
    if facts.get("classes"):
        click.echo(f"classes    {', '.join(map(str, facts['classes']))}")
    for tensor in facts["inputs"]:
        shape = ", ".join("n" if size == -1 else str(size) for size in tensor["shape"])
        click.echo(f"\ninput {tensor['name']}: {tensor['dtype']} [{shape}]")
        print_table([("feature", "path", "missing", "categories"), *map(_feature_cells, tensor["features"])])
    click.echo()
    print_table([("file", "bytes"), *((name, str(entry["size"])) for name, entry in sorted(facts["files"].items()))])


def _feature_cells(feature: Mapping[str, Any]) -> tuple[str, str, str, str]:
    missing = feature["missing"]
    stands_in = f"= {missing['value']}" if isinstance(missing, Mapping) else str(missing)
    categories = feature.get("categories")
    return (feature["name"], feature["path"], stands_in, f"{len(categories)} known" if categories else "")


__all__ = ["bundle", "export"]

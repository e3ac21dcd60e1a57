"""What the studio's pages weigh, what a run of 20,000 steps takes against a page of plain rows, and what the diff of
two such runs does.

    python benchmarks/studio.py            three rounds, taking turns: about two minutes
    python benchmarks/studio.py --write    put the tables into benchmarks/RESULTS.md

Needs Chromium and playwright. Bytes are those on the wire, compressed, of a first visit. CPU is the time of Chromium's
main thread (TaskDuration of its Performance domain), not of a clock. Plain rows are the list of all steps as HTML;
live, a list that a script appends to for every event. The status is 1 where a bar is missed.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from harness import machine, report
from harness.pages import serving
from harness.targets import HERE
from playwright.sync_api import Browser, Page, sync_playwright

AGENTS = '''
import asyncio

from runwright import Agent, Context, tool


@tool(effect="read")
async def look(at: str) -> str:
    """Look."""
    return at


async def many(text: str, context: Context) -> str:
    count, lanes, pause_s, *apart = (float(part) for part in text.split())

    async def side(number: int) -> None:
        lane = context.lane(f"side {number}")
        for step in range(int(count / lanes)):
            is_other = apart and step % apart[0] == 0
            await lane.tool(look, at=f"{step} elsewhere" if is_other else f"{step}")
            if pause_s and step % 10 == 9:
                await asyncio.sleep(pause_s)

    await asyncio.gather(*(side(number) for number in range(int(lanes))))
    return "done"


many = Agent("many", run=many, limits={"steps": 1_000_000})
support = Agent("support", model="demo", instructions="Be brief.")
'''
APPEND = """(url) => {
  const list = document.createElement("ol");
  document.body.replaceChildren(list);
  const stream = new EventSource(url);
  const rows = new Map();
  stream.addEventListener("step.started", (event) => {
    const step = JSON.parse(event.data);
    const row = document.createElement("li");
    for (const text of [step.kind, step.name, step.lane, "running"]) {
      row.append(Object.assign(document.createElement("span"), {textContent: text}));
    }
    rows.set(step.seq, list.appendChild(row));
  });
  stream.addEventListener("step.completed", (event) => {
    rows.get(JSON.parse(event.data).step_id).lastChild.textContent = "completed";
  });
  stream.addEventListener("run.completed", () => { stream.close(); document.title = "over"; });
}"""
STEPS, LIVE, KEYS = 20_000, 2_000, 30
APART = 100
"""One in so many steps of the second run asks for something else."""
FIRST_VISIT, WEIGHT, ELEMENTS = 100_000, 400_000, 400
WAIT_MS = 60_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@dataclass(kw_only=True)
class Taken:
    """CPU in ms of the run page and of plain rows, round by round, by what was done."""

    ours: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    rows: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The diff of two large runs: seconds until its page is there, for the first time and again, bytes and elements."""

    first_s: float
    again_s: float
    weight: int
    elements: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Bytes of first visits by page, those of the large run with its elements, CPU, live steps that were shown, and the
    diff of two large runs.
    """

    visits: dict[str, int]
    weight: int
    elements: int
    taken: Taken
    shown: int
    compared: Compared

    @property
    def is_met(self) -> bool:
        return (
            max(self.visits.values()) <= FIRST_VISIT
            and self.weight <= WEIGHT
            and self.elements <= ELEMENTS
            and self.shown == LIVE
            and self.compared.weight <= FIRST_VISIT
        )


class Tab:
    """A page in a window of its own, whose bytes and CPU are counted."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        # Its answers are JSON of any shape.
        self._session: Any = self._context.new_cdp_session(self.page)
        self._session.send("Performance.enable")
        self._session.send("Network.enable")
        self._url = url
        self.bytes = 0
        self._session.on("Network.loadingFinished", self._loaded)

    def _loaded(self, event: dict[str, float]) -> None:
        self.bytes += int(event["encodedDataLength"])

    def open(self, path: str) -> None:
        self.page.goto(self._url + path, wait_until="load")

    def cpu_ms(self) -> float:
        """What the main thread has taken so far."""
        answer: dict[str, Any] = self._session.send("Performance.getMetrics")
        metrics: dict[str, float] = {each["name"]: each["value"] for each in answer["metrics"]}
        return 1000 * metrics["TaskDuration"]

    def close(self) -> None:
        self._context.close()


def run(url: str, agent: str, text: str, mode: str = "wait") -> str:
    """The id of a run."""
    body = json.dumps({"input": text, "mode": mode}).encode()
    asked = Request(f"{url}/api/v1/agents/{agent}/runs", body, {"content-type": "application/json"})
    with urlopen(asked) as answer:
        return json.load(answer)["id"]


def visits(browser: Browser, url: str, run_id: str) -> dict[str, int]:
    """What a first visit of each page brings."""
    other = run(url, "support", "Hello again")
    found: dict[str, int] = {}
    with urlopen(f"{url}/runs/{run_id}/steps.json") as answer:
        seq = json.load(answer)["seq"][0]
    of_run = ["", "/steps", f"/steps/{seq}", "/diff", f"/diff/{other}", "/replay"]
    tab = Tab(browser, url)
    tab.open("/runs")
    nav: list[str] = tab.page.eval_on_selector_all("nav li a", "links => links.map(link => link.pathname)")
    tab.close()
    for path in [*nav, *(f"/runs/{run_id}{rest}" for rest in of_run)]:
        tab = Tab(browser, url)
        tab.open(path)
        tab.page.wait_for_timeout(300)
        found[path.replace(run_id, "RUN").replace(other, "OTHER")] = tab.bytes
        tab.close()
    return found


def load(browser: Browser, url: str, path: str, ready: str) -> tuple[Tab, float]:
    """A page that is drawn, and the CPU that took."""
    tab = Tab(browser, url)
    tab.open(path)
    tab.page.wait_for_selector(ready)
    tab.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return tab, tab.cpu_ms()


def press(tab: Tab, key: str) -> float:
    """The CPU of pressing a key again and again, each drawn."""
    before = tab.cpu_ms()
    for _ in range(KEYS):
        tab.page.keyboard.press(key)
        tab.page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    return tab.cpu_ms() - before


def large(browser: Browser, url: str, run_id: str, taken: Taken) -> tuple[int, int]:
    """Load and walk the large run, in both ways; its bytes and elements."""
    tab, cpu = load(browser, url, f"/runs/{run_id}", "[role=treeitem]")
    weight, elements = tab.bytes, int(tab.page.evaluate("document.getElementsByTagName('*').length"))
    taken.ours.setdefault("load", []).append(cpu)
    tab.page.focus("[role=tree]")
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("ArrowRight")
    taken.ours.setdefault(f"{KEYS} keys", []).append(press(tab, "j"))
    tab.close()
    tab, cpu = load(browser, url, f"/runs/{run_id}/steps?limit={STEPS}", f"li:nth-child({STEPS})")
    taken.rows.setdefault("load", []).append(cpu)
    taken.rows.setdefault(f"{KEYS} keys", []).append(press(tab, "Tab"))
    tab.close()
    return weight, elements


def live(browser: Browser, url: str, taken: Taken) -> int:
    """Follow a run of many steps in four seconds, in both ways; how many the page has shown at the end."""
    text = f"{LIVE} 1 {4 / (LIVE / 10)}"
    run_id = run(url, "many", text, "background")
    tab = Tab(browser, url)
    tab.open(f"/runs/{run_id}")
    tab.page.wait_for_selector("#summary .status.completed")
    taken.ours.setdefault("live", []).append(tab.cpu_ms())
    shown = int(tab.page.inner_text(".count").split()[0])
    tab.close()
    run_id = run(url, "many", text, "background")
    tab = Tab(browser, url)
    tab.open("/runs/none")
    tab.page.evaluate(APPEND, f"{url}/api/v1/runs/{run_id}/events")
    tab.page.wait_for_function("() => document.title === 'over'")
    taken.rows.setdefault("live", []).append(tab.cpu_ms())
    tab.close()
    return shown


def compare(browser: Browser, url: str, run_id: str) -> Compared:
    """See how the large run and one that asks for something else now and then differ."""
    path = f"/runs/{run_id}/diff/{run(url, 'many', f'{STEPS} 4 0 {APART}')}"
    taken: list[float] = []
    for _ in range(2):
        begun = time.perf_counter()
        with urlopen(url + path) as answer:
            answer.read()
        taken.append(time.perf_counter() - begun)
    tab, _ = load(browser, url, path, "table.aligned")
    elements = int(tab.page.evaluate("document.getElementsByTagName('*').length"))
    tab.close()
    return Compared(first_s=taken[0], again_s=taken[1], weight=tab.bytes, elements=elements)


def measure(folder: Path, rounds: int) -> Figures:
    """Everything, on a server and a browser of its own."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    taken, shown = Taken(), LIVE
    weight = elements = 0
    with serving(folder, AGENTS) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        small = visits(browser, url, run(url, "support", "Hello"))
        run_id = run(url, "many", f"{STEPS} 4 0")
        for _ in range(rounds):
            weight, elements = large(browser, url, run_id, taken)
            shown = min(shown, live(browser, url, taken))
        compared = compare(browser, url, run_id)
        browser.close()
    return Figures(visits=small, weight=weight, elements=elements, taken=taken, shown=shown, compared=compared)


def markdown(figures: Figures, facts: machine.Machine) -> str:
    """The section of the results."""
    compared = figures.compared
    most = max(figures.visits, key=lambda path: figures.visits[path])
    rows = [
        "| measure | unit | found | bar |",
        "| --- | --- | --- | --- |",
        f"| first visit of the heaviest page (`{most}`) | kB | {figures.visits[most] / 1000:.0f} | 100 |",
        f"| run page of {STEPS} steps | kB | {figures.weight / 1000:.0f} | 400 |",
        f"| its elements | | {figures.elements} | {ELEMENTS} |",
        f"| steps shown of {LIVE} in 4 s | | {figures.shown} | {LIVE} |",
        f"| diff of two runs of {STEPS} steps, one in {APART} different | kB | {compared.weight / 1000:.0f} | 100 |",
        f"| its elements | | {compared.elements} | |",
        f"| until it is there, the first time | s | {compared.first_s:.2f} | |",
        f"| and again | s | {compared.again_s:.2f} | |",
        "",
        "| CPU | run page, ms | plain rows, ms | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for name, ours in figures.taken.ours.items():
        other = figures.taken.rows[name]
        ratio = statistics.median(one / two for one, two in zip(ours, other, strict=True))
        rows.append(f"| {name} | {statistics.median(ours):.0f} | {statistics.median(other):.0f} | {ratio:.2f} |")
    rows += ["", "| first visit | kB |", "| --- | --- |"]
    rows += [f"| `{path}` | {size / 1000:.1f} |" for path, size in figures.visits.items()]
    how = (
        f"Measured {facts.date} at commit {facts.commit} on {facts.cpu}, {facts.cores} cores, {facts.system}. Medians."
    )
    return "\n".join([how, "", *rows]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="studio-") as folder:
        facts = machine.describe(["runwright"], Path(folder))
        figures = measure(Path(folder), options.rounds)
    section = markdown(figures, facts)
    print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section, name="studio", title="Studio")
    return 0 if figures.is_met else 1


if __name__ == "__main__":
    sys.exit(main())

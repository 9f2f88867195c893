"""The command line: parses and calls, holds no logic, and imports torch only where a verb needs a model.

Words go to stderr, results to stdout: with --json one document.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast

import click

from audit.exits import BLOCKED, INCOMPLETE, INCONCLUSIVE, INTEGRITY, INTERRUPTED, OK, USAGE, Ended
from audit.shadows import shadow

if TYPE_CHECKING:
    from audit.store import RunFolder
    from reports.record import Judgement

_CODES = """
Words go to stderr, results to stdout. Where several codes hold, 13 goes first, then 12, 10, 3, 11.

\b
Exit codes:
    0  fine
    1  a bug of ours
    2  usage, config, data, or a folder that is no run's
    3  incomplete: a unit ended in an error; gate, ci, nights: nothing to judge by
   10  a blocking gate failed, or a claim is refuted (run never returns 10 to 12)
   11  inconclusive, where the policy says that this fails; a claim that could not have been refuted
   12  not comparable: nights of several claims, or coins that were used again
   13  integrity: files are not those that the run wrote
  130  interrupted; run it again to go on
"""

F = TypeVar("F", bound=Callable[..., Any])


def say(words: str) -> None:
    """Words for a person, on stderr."""
    click.echo(words, err=True)


def out(document: dict[str, Any]) -> None:
    """The one JSON document of a verb, on stdout."""
    click.echo(json.dumps(document, sort_keys=True, ensure_ascii=False))


def sentences(verb: F) -> F:
    """Turn a user's mistake into its sentence and code 2, an interruption into 130, and what is a bug into 1."""

    @wraps(verb)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return verb(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            from audit.mishaps import ended

            end = ended(error)
        _end(end, as_json=bool(kwargs.get("as_json")))

    return cast(F, wrapped)


def _end(end: Ended, *, as_json: bool) -> NoReturn:
    """Say why a verb ends early, and leave with its code."""
    say(str(end))
    if as_json:
        out({"error": str(end), "exit": end.code, **end.more})
    sys.exit(end.code)


class Verbs(click.Group):
    """The verbs; where the words on the command line make none, --json gets its document too."""

    def main(self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]
        """As `click.Group.main`."""
        words = list(sys.argv[1:] if args is None else args)
        try:
            ended = super().main(words, standalone_mode=False, **extra)
        except click.ClickException as error:
            if not standalone_mode:
                raise
            error.show()
            if "--json" in words:
                out({"error": error.format_message(), "exit": error.exit_code})
            sys.exit(error.exit_code)
        except (Ended, click.Abort) as error:  # click makes an Abort of Ctrl-C
            end = error if isinstance(error, Ended) else Ended("interrupted", INTERRUPTED)
            _end(end, as_json="--json" in words)
        if standalone_mode:
            sys.exit(ended if isinstance(ended, int) else OK)
        return ended


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_CODES)
@click.version_option(package_name="finetune-audit", prog_name="audit")
def main() -> None:
    """Audit a fine-tuned language model for bias, privacy and robustness before it is deployed."""
    # Threads that wait by spinning take the processor from those that work: on a busy machine a tiny model then trains
    # ten times slower. This must be said before torch is loaded; whoever sets the variable is obeyed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.umask(0o077)  # whatever a library writes into a run is its owner's alone
    hidden = shadow()
    if hidden is not None:
        raise Ended(hidden, USAGE)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
set_option = click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting; it is recorded."
)
runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    envvar="AUDIT_RUNS",
    show_default=True,
    help="Folder of all runs.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Say nothing but results and mistakes.")
fresh_option = click.option("--fresh-coins", is_flag=True, help="Draw new coins; a new run with the next number.")
config_argument = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
run_argument = click.argument("run", type=click.Path(path_type=Path, file_okay=False))


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--task",
    type=click.Choice(["text-classification", "causal-lm", "masked-lm"]),
    default="text-classification",
    show_default=True,
    help="What the model is for.",
)
@json_option
@sentences
def init(path: Path, task: Literal["text-classification", "causal-lm", "masked-lm"], as_json: bool) -> None:
    """Write a commented starter config to PATH."""
    from audit.settings.starter import starter

    starter(task, path)
    say(f"{path} written; fill it in, then: audit validate {path}")
    if as_json:
        out({"path": str(path), "task": task})


@main.command()
@config_argument
@set_option
@json_option
@sentences
def validate(config: Path, changes: tuple[str, ...], as_json: bool) -> None:
    """Name every mistake in CONFIG at once: file, line, key, rule, and what was probably meant."""
    from dataclasses import asdict

    from audit.opening import opened
    from audit.settings.mistakes import ConfigError

    try:
        plan = opened(config, changes).plan
    except ConfigError as error:
        mistakes = [asdict(mistake) for mistake in error.mistakes]
        raise Ended(str(error), USAGE, valid=False, mistakes=mistakes) from error
    say(f"{config}: valid: {len(plan.arms)} arms, {len(plan.probes)} probes")
    if as_json:
        out({"valid": True, "mistakes": []})


@main.command()
@config_argument
@set_option
@runs_option
@json_option
@quiet_option
@sentences
def plan(config: Path, changes: tuple[str, ...], runs: Path, as_json: bool, quiet: bool) -> None:
    """Show the units of work, what is already done, the estimated time, and which gates can pass at all."""
    from audit.opening import opened, ordered
    from audit.planning.forecast import forecast
    from audit.progress import shown

    with shown(quiet=quiet) as observer:
        found = forecast(ordered(opened(config, changes), runs, say=observer.say), observer)
    if as_json:
        out(found.plain())
    else:
        click.echo(found.words())


@main.command()
@config_argument
@set_option
@runs_option
@fresh_option
@json_option
@quiet_option
@sentences
def run(config: Path, changes: tuple[str, ...], runs: Path, fresh_coins: bool, as_json: bool, quiet: bool) -> None:
    """Train the arms, measure, summarize and contrast; write the run's folder and its report."""
    folder, errors = _run(config, changes, runs, fresh_coins, quiet)
    _report(folder, quiet=quiet)
    say(f"report: {folder.report}")
    deployed = _deployed(folder)
    if as_json:
        out({"run": str(folder.path), "report": str(folder.report), "errors": errors, "deployed": deployed})
    sys.exit(INCOMPLETE if errors else OK)


def _run(config: Path, changes: tuple[str, ...], runs: Path, fresh_coins: bool, quiet: bool) -> "tuple[RunFolder, int]":
    from audit.judging import judge as judging
    from audit.opening import opened, ordered
    from audit.progress import Lines, shown
    from audit.running import execute

    order = ordered(opened(config, changes), runs, fresh_coins=fresh_coins, say=Lines(quiet).say)
    before = judging.basis(order.folder)
    try:
        with shown(quiet=quiet) as observer:
            record = execute.run(order, observer)
    except KeyboardInterrupt as stopped:
        again = "run the same command again, without --fresh-coins," if fresh_coins else "run the same command again"
        raise Ended(f"interrupted; {again} to go on from here", INTERRUPTED, run=str(order.folder.path)) from stopped
    if judging.basis(order.folder) != before:
        judging.forget(order.folder)
    for unit in record.unmeasured:
        if unit.outcome == "error":
            say(f"error: {unit.unit}: {unit.reason}")
    return order.folder, record.coverage.errors


def _report(folder: "RunFolder", *, afresh: bool = False, quiet: bool = False) -> None:
    from audit.judging.pages import write_reports
    from audit.progress import part_of, shown

    with shown(quiet=quiet) as observer, part_of(observer, "report"):
        write_reports(folder, afresh=afresh)


def _deployed(folder: "RunFolder") -> dict[str, str]:
    """Where the weights of the arm to be deployed lie, by run of it; said, so that these and no others are shipped."""
    from reports.record import load_run

    runs = folder.path.parent
    found = {name: str(runs / at) if (runs / at).is_dir() else at for name, at in load_run(folder.run).deployed.items()}
    for name, at in found.items():
        say(f"weights of {name}, the arm to be deployed: {at}")
    return found


@main.command()
@run_argument
@json_option
@sentences
def gate(run: Path, as_json: bool) -> None:
    """Judge the run in folder RUN by its gates; write gates.json and the report with its verdicts."""
    folder = _finished(run)
    code, document = _gate(folder)
    if as_json:
        out(document)
    sys.exit(code)


def _gate(folder: "RunFolder", *, quiet: bool = False) -> tuple[int, dict[str, Any]]:
    """Judge a run; the exit code, and what the JSON document says."""
    from audit.judging.gate import exit_code
    from audit.judging.judge import judge, write_judgement
    from audit.progress import part_of, shown
    from reports.record import load_record

    _whole(folder)
    with shown(quiet=quiet) as observer, part_of(observer, "verdicts"):
        judgement = judge(folder)
        if judgement is not None:
            write_judgement(folder, judgement)
    _report(folder, quiet=quiet)
    errors = load_record(folder.record).coverage.errors
    document: dict[str, Any] = {"run": str(folder.path), "report": str(folder.report), "errors": errors}
    if judgement is None:
        say(f"{folder.path}: NOT JUDGED: the config has no gates")
        document |= {"verdict": None, "gates": []}
        code = INCOMPLETE
    else:
        say(_verdict_words(folder, judgement))
        document |= {"verdict": judgement.verdict, "deviations": list(judgement.deviations)}
        document["gates"] = [
            {"id": g.id, "level": g.level, "verdict": g.verdict, "reason": g.reason} for g in judgement.gates
        ]
        code = exit_code(judgement, incomplete=errors > 0)
    return code, {**document, "exit": code}


def _verdict_words(folder: "RunFolder", judgement: "Judgement") -> str:
    from reports.words.text import visible

    owner = judgement.owner or "owner not named"
    lines = [f"{judgement.verdict.upper()} under {judgement.policy} {judgement.version} ({owner})"]
    lines += [f"  {words}" for words in judgement.deviations]
    lines += [f"  {g.verdict:13} {_named(g.id, g.level)}: {g.criterion}; {g.reason}" for g in judgement.gates]
    return "\n".join(visible(line) for line in [*lines, f"report: {folder.report}"])


def _named(gate_id: str, level: str) -> str:
    return f"{gate_id} (warns only)" if level == "warn" else gate_id


@main.command()
@config_argument
@set_option
@runs_option
@fresh_option
@json_option
@quiet_option
@sentences
def ci(config: Path, changes: tuple[str, ...], runs: Path, fresh_coins: bool, as_json: bool, quiet: bool) -> None:
    """Validate, run, judge and report; all artefacts first, the verdict as exit code last."""
    folder, _ = _run(config, changes, runs, fresh_coins, quiet)
    code, document = _gate(folder, quiet=quiet)
    document["deployed"] = _deployed(folder)
    if as_json:
        out(document)
    sys.exit(code)


@main.command()
@run_argument
@json_option
@sentences
def report(run: Path, as_json: bool) -> None:
    """Render the report of folder RUN again from its files, without torch."""
    folder = _finished(run)
    _whole(folder)
    _report(folder, afresh=True)
    say(f"report: {folder.report}")
    if as_json:
        out({"run": str(folder.path), "report": str(folder.report)})


@main.command()
@run_argument
@json_option
@sentences
def verify(run: Path, as_json: bool) -> None:
    """Recompute every number of folder RUN from its stored rows, without torch: equal to the last digit, or code 13."""
    from audit.judging.verify import verified
    from audit.progress import shown

    with shown() as observer:
        result = verified(_finished(run), observer)
    for sentence in (*result.differences, *result.unverifiable):
        say(sentence)
    if result.numbers and not result.differences:
        say(f"{run}: {result.numbers} numbers come out of the rows again, to the last digit")
    if as_json:
        out(
            {
                "verified": not result.differences and not result.unverifiable,
                "numbers": result.numbers,
                "differences": list(result.differences),
                "unverifiable": list(result.unverifiable),
            }
        )
    sys.exit(INTEGRITY if result.differences else OK)


@main.command()
@run_argument
@click.option(
    "--keep",
    type=click.Choice(["public", "derived", "personal"]),
    default="public",
    show_default=True,
    help="The most sensitive columns of the rows that stay.",
)
@json_option
@sentences
def clean(run: Path, keep: Literal["public", "derived", "personal"], as_json: bool) -> None:
    """Delete models, prepared data and tables of folder RUN, and the columns of its rows that --keep does not keep."""
    from audit.clean import clean as delete
    from audit.progress import part_of, shown
    from audit.store import Store

    folder = _folder(run)
    with shown() as observer, part_of(observer, "clean"):
        done = delete(folder, Store(folder.path.parent), keep)
    for sentence in done:
        say(sentence)
    if as_json:
        out({"deleted": done})


@main.command()
@click.option("--privacy", is_flag=True, help="Attack a short private training of our own.")
@click.option(
    "--epsilon",
    type=click.FloatRange(0, 100, min_open=True),
    default=1.0,
    show_default=True,
    help="The epsilon it is to keep.",
)
@click.option("--seed", type=click.IntRange(0), help="Derive all randomness from it, to be repeated.")
@json_option
@sentences
def selfcheck(privacy: bool, epsilon: float, seed: int | None, as_json: bool) -> None:
    """Test what this tool promises, on this machine: does a training that claims an epsilon keep it?

    Trains a tiny model in a minute. Code 10 if the claim is refuted, 11 if it could not have been.
    """
    if not privacy:
        raise click.UsageError("name what is to be tested: --privacy")
    from audit.progress import shown
    from audit.selfcheck import selfcheck as test
    from audit.training.exactness import InexactClipping

    try:
        with shown() as observer:
            found = test(epsilon, seed, observer)
    except InexactClipping as error:
        raise Ended(str(error), BLOCKED) from error
    say(found.words())
    if as_json:
        out(found.plain())
    sys.exit(BLOCKED if found.failed else INCONCLUSIVE if found.verdict == "could not have been refuted" else OK)


@main.command()
@click.argument("runs", type=click.Path(path_type=Path, file_okay=False))
@click.option("--title", help="The title of the audit; needed where RUNS holds several.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Write it as one HTML file, too.")
@json_option
@sentences
def nights(runs: Path, title: str | None, page: Path | None, as_json: bool) -> None:
    """Read all finished runs in folder RUNS as one series: do all nights together refute a claimed epsilon?

    The error over all nights and claims together, whenever one looks, is at most 5 %. Each night needs coins of its
    own: run it with --fresh-coins. Code 10 if a claim is refuted, 11 if one could not have been, 12 if nights do not
    compare.
    """
    from audit.judging.nights import over_nights, plain, words
    from audit.refusal import Refused

    if page is not None and not page.absolute().parent.is_dir():
        raise Refused(f"{page}: there is no folder {page.parent}; make it, or write the page elsewhere")
    found = over_nights(runs, title)
    document = plain(found)
    if page is not None and found.arms:
        from audit.store import write_text
        from reports.nights import render_nights

        write_text(page, render_nights(found))
        say(f"page: {page}")
        document["page"] = str(page)
    code = INCOMPLETE
    if found.arms:
        code = {"refuted": BLOCKED, "could not have been refuted": INCONCLUSIVE}.get(found.outcome, OK)
    if as_json:
        out({**document, "exit": code})
    else:
        click.echo(words(found))
    sys.exit(code)


@main.group()
def probes() -> None:
    """The probes there are."""


@probes.command(name="list")
@json_option
@sentences
def list_probes(as_json: bool) -> None:
    """Name each probe, its pillar and its question; those of other installed packages too."""
    from probes.catalog import listing

    rows = listing()
    if as_json:
        out({"probes": rows})
        return
    for row in rows:
        whose = f" ({row['package']})" if row["package"] else ""
        click.echo(f"{row['name']:16} {row.get('pillar', ''):11} {row.get('question') or row['error']}{whose}")


@main.group()
def schema() -> None:
    """The JSON Schemas of what people and programs write and read."""


@schema.command(name="config")
@json_option
@sentences
def config_schema(as_json: bool) -> None:
    """The JSON Schema of a config file; on one line with --json."""
    from audit.settings.config import json_schema

    if as_json:
        out(json_schema())
    else:
        click.echo(json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False))


def _folder(path: Path) -> "RunFolder":
    """The folder of a run, finished or not."""
    from audit.store import RunFolder

    folder = RunFolder(path)
    if not any(file.is_file() for file in (folder.record, folder.run, folder.events)):
        example = "give the folder of a run, such as runs/my-audit-1a2b3c4d-1"
        raise Ended(f"{path}: no record.json; {example}", USAGE)
    return folder


def _finished(path: Path) -> "RunFolder":
    """The folder of a run that has come to its end."""
    folder = _folder(path)
    if not folder.record.is_file():
        raise Ended(f"{path}: the run has not finished; 'audit run' with its config goes on with it", INCOMPLETE)
    return folder


def _whole(folder: "RunFolder") -> None:
    """End with 13 where the folder's files are not those that the run wrote."""
    tampered = folder.tampered()
    if tampered:
        words = "\n".join(f"{folder.path / name}: missing, or changed since the run wrote it" for name in tampered)
        raise Ended(words, INTEGRITY, tampered=tampered)

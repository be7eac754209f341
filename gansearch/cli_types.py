"""What the flags of the command line accept: durations, numbers of a budget, names, paths."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import click

from gansearch.report.formatting import parse_duration

_EMPTY = "found nothing. Give a value, or leave the flag out."


class DurationType(click.ParamType):  # type: ignore[type-arg]  # not generic at runtime in 8.1
    """A duration such as 2h, 90m, 1h30m or 45s; a bare number could be any of them."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the duration in seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class BudgetNumberType(click.ParamType):  # type: ignore[type-arg]  # as DurationType
    """A whole number that follows the rule of the budget's field with the option's name."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the whole number."""
        from gansearch.budget import Budget
        from gansearch.space.yaml_source import number_advice

        assert param is not None and param.name is not None
        rule = Budget.rules()[param.name]
        try:
            return int(rule.parse(int(value)))
        except ValueError:
            advice = number_advice(str(value))
            self.fail(f"found {value}. It must be {rule.describe()}.{advice}", param, ctx)


class ShareType(click.FloatRange):
    """A finite number in a range, or auto; click.FloatRange accepts nan and inf."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or "auto"."""
        if value == "auto":
            return value
        try:
            is_finite = math.isfinite(float(value))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto.", param, ctx)
        if not is_finite:
            self.fail(f"{value} is not a finite number.", param, ctx)
        return super().convert(value, param, ctx)


class LocalPathType(click.Path):
    """A path on this machine; `~` is expanded also where the shell does not, as after `=`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        from gansearch.system.paths import local_path

        if value == "":
            self.fail(_EMPTY, param, ctx)
        return local_path(str(super().convert(value, param, ctx)))


class FolderType(click.ParamType):  # type: ignore[type-arg]  # as DurationType
    """A folder on this machine or in an object store."""

    name = "folder"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the path."""
        if ctx is not None and ctx.resilient_parsing:
            return value  # of a completion, which must not wait for the import

        from gansearch.system.object_store import parse_path

        if value == "":
            self.fail(_EMPTY, param, ctx)
        return parse_path(value)


class TextType(click.ParamType):  # type: ignore[type-arg]  # as DurationType
    """A name; an empty one comes from a variable of the shell that is not set."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if value == "":
            self.fail(_EMPTY, param, ctx)
        return str(value)


class OnceCommand(click.Command):
    """A command that refuses an option with two values, of which the first would have no effect."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            click.UsageError: an option that takes one value is given twice.
        """
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=[*args])
            for param, n in Counter(order).items():
                if n > 1 and isinstance(param, click.Option) and not _takes_several(param):
                    raise click.UsageError(
                        f"{max(param.opts, key=len)}: given {n} times. One value counts: give it "
                        "once.",
                        ctx,
                    )
        return super().parse_args(ctx, args)


def _takes_several(option: click.Option) -> bool:
    return option.multiple or option.is_flag or option.count


class RenamedOption(click.Option):
    """An option whose former name is still accepted, but not shown in the help.

    Attributes:
        former_flag: the former name, such as `--packing`.
    """

    def __init__(self, *args: Any, former_flag: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.former_flag = former_flag

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser accept both names."""
        super().add_to_parser(parser, ctx)
        parser.add_option(self, [self.former_flag], self.name, nargs=self.nargs)

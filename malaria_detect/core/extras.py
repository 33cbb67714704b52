"""One sentence instead of a traceback if a library of an optional extra is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from malaria_detect.core.errors import MalariaDetectError


class MissingExtra(MalariaDetectError, ImportError):  # noqa: N818 - named after what to install
    """A library is missing that only an extra of the package installs; ``reason`` is ``missing_extra``."""


@contextmanager
def from_extra(name: str) -> Iterator[None]:
    """Import libraries that the extra ``name`` installs, such as ``train``.

    Raises
    ------
    MissingExtra
        If one of them is not installed.

    Examples
    --------
    >>> with from_extra("train"):
    ...     import fastai
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == __package__.partition(".")[0]:
            raise  # a part of this package, which no extra installs
        raise MissingExtra(
            f"{error.name} is not installed. It is part of the extra {name!r}. Install it with "
            f"pip install 'malaria-detect[{name}]'",
            reason="missing_extra",
        ) from error

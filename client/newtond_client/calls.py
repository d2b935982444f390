"""``@call`` and ``@stream``: one coroutine, two faces.

A class that is ``Blocks`` shows a coroutine method as a plain one, a class that is ``Awaits`` as it is.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from newtond_client.transport import complete, complete_each

P = ParamSpec("P")
T = TypeVar("T")


class Blocks:
    """Its calls return when they are done."""


class Awaits:
    """Its calls are awaited."""


class call(Generic[P, T]):  # noqa: N801 (a decorator)
    """A method written as a coroutine."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        functools.update_wrapper(cast(Any, self), method)

    @overload
    def __get__(self, owner: Blocks, cls: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: Awaits, cls: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, owner: None, cls: type) -> "call[P, T]": ...
    def __get__(self, owner: Any, cls: type) -> Any:
        if owner is None:
            return self
        bound = functools.partial(self._method, owner)
        if isinstance(owner, Awaits):
            return functools.update_wrapper(bound, self._method)

        @functools.wraps(self._method)
        def blocking(*arguments: P.args, **options: P.kwargs) -> T:
            return complete(bound(*arguments, **options))

        return blocking


class stream(Generic[P, T]):  # noqa: N801 (a decorator)
    """A method written as an asynchronous generator."""

    def __init__(self, method: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> None:
        self._method = method
        functools.update_wrapper(cast(Any, self), method)

    @overload
    def __get__(self, owner: Blocks, cls: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, owner: Awaits, cls: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, owner: None, cls: type) -> "stream[P, T]": ...
    def __get__(self, owner: Any, cls: type) -> Any:
        if owner is None:
            return self
        bound = functools.partial(self._method, owner)
        if isinstance(owner, Awaits):
            return functools.update_wrapper(bound, self._method)

        @functools.wraps(self._method)
        def blocking(*arguments: P.args, **options: P.kwargs) -> Iterator[T]:
            return complete_each(bound(*arguments, **options))

        return blocking

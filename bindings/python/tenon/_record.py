# SPDX-License-Identifier: Apache-2.0
"""Classes made of a table of fields: each field has a kind (what it accepts, and what is stored), a default, and a rule.

    class KvCacheConfig(Record):
        enable_block_reuse: bool = field(Bool, default=True)
        max_tokens: Optional[int] = field(Int32, default=None, check=above(0))

A field that may be None has the default None. Values are converted and checked when they are set, by the constructor or later: a wrong type is
TypeError, a value against the rule InvalidArgumentError. Lists are copied in and out. Records compare by their fields, pickle, and take no
attributes that are not in the table, unless the class says ``dynamic=True``. ``aliases={old: new}``: older spellings of fields, taken by the
constructor (the new name wins where both are given) and as attributes.
"""

from __future__ import annotations

import ctypes
import datetime
import enum
import inspect
import operator
from typing import Any, Callable, Dict, NamedTuple, Optional

try:
    from typing import dataclass_transform
except ImportError:  # Python 3.11 has it; it speaks to type checkers only

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:  # type: ignore[misc]
        return lambda decorated: decorated


import numpy

from . import _tensor
from .errors import InvalidArgumentError

# --- kinds: what a field accepts ---------------------------------------------------------------------------------------------


def _wrong(what: str, value: Any, wanted: str) -> TypeError:
    return TypeError(f"{what} is {value!r} ({type(value).__name__}), must be {wanted}")


class Kind(NamedTuple):
    accept: Callable[[Any, str], Any]  # (value, "Class.field") → what is stored
    give: Optional[Callable[[Any], Any]] = None  # what a reader gets; None: the stored object


def _integer(low: int, high: int) -> Kind:
    def accept(value: Any, what: str) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise _wrong(what, value, "an integer") from None
        if not low <= number <= high:
            raise _wrong(what, value, f"an integer from {low} to {high}")
        return number

    return Kind(accept)


Int32 = _integer(-(2**31), 2**31 - 1)
UInt32 = _integer(0, 2**32 - 1)
Int64 = _integer(-(2**63), 2**63 - 1)
UInt64 = _integer(0, 2**64 - 1)


def _accept_bool(value: Any, what: str) -> bool:
    if not isinstance(value, (bool, numpy.bool_)):
        raise _wrong(what, value, "a bool")
    return bool(value)


def _accept_float64(value: Any, what: str) -> float:
    if isinstance(value, (str, bytes)):
        raise _wrong(what, value, "a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _wrong(what, value, "a number") from None


Bool = Kind(_accept_bool)
Float64 = Kind(_accept_float64)
Float32 = Kind(lambda value, what: ctypes.c_float(_accept_float64(value, what)).value)  # stored as float32: 0.9 reads back as 0.8999999762


def _instance(types: Any, wanted: str, convert: Callable[[Any], Any] = lambda value: value) -> Kind:
    def accept(value: Any, what: str) -> Any:
        if not isinstance(value, types):
            raise _wrong(what, value, wanted)
        return convert(value)

    return Kind(accept)


def _accept_path(value: Any, what: str) -> str:
    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        raise _wrong(what, value, "a path")
    return str(value)


Str = _instance(str, "a str")
Bytes = _instance((bytes, bytearray, memoryview), "bytes", bytes)
Path = Kind(_accept_path)
Duration = _instance(datetime.timedelta, "a datetime.timedelta")
Tensor = Kind(_tensor.take)
Anything = Kind(lambda value, what: value)


def _accept_callable(value: Any, what: str) -> Any:
    if not callable(value):
        raise _wrong(what, value, "callable")
    return value


Function = Kind(_accept_callable)


def OneOf(choices: type) -> Kind:
    """An enum's member."""

    def accept(value: Any, what: str) -> Any:
        if isinstance(value, choices):
            return value
        raise _wrong(what, value, f"a {choices.__qualname__}")

    return Kind(accept)


def A(record: type, copied: bool = False) -> Kind:
    """Another record; ``copied``: the holder has its own, a reader gets a copy."""
    accept = _instance(record, f"a {record.__qualname__}").accept
    if not copied:
        return Kind(accept)
    return Kind(lambda value, what: accept(value, what)._copy(), lambda value: value._copy())


def ListOf(item: Kind) -> Kind:
    """A list, or what can be iterated like one (an integer array too); stored and given as lists of their own."""

    def accept(value: Any, what: str) -> list:
        if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
            raise _wrong(what, value, "a list")
        return [item.accept(element, f"{what}[{i}]") for i, element in enumerate(value)]

    inner = item.give
    return Kind(accept, list if inner is None else lambda value: [inner(element) for element in value])


def DictOf(item: Kind) -> Kind:
    """A dict with str keys."""

    def accept(value: Any, what: str) -> dict:
        if not isinstance(value, dict):
            raise _wrong(what, value, "a dict")
        return {Str.accept(key, f"a key of {what}"): item.accept(element, f"{what}[{key!r}]") for key, element in value.items()}

    return Kind(accept, dict)


def Nullable(item: Kind) -> Kind:
    return Kind(lambda value, what: None if value is None else item.accept(value, what))


# --- rules: which values ------------------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    holds: Callable[[Any], bool]
    words: str  # "… must be <words>"


def above(low: float) -> Rule:
    return Rule(lambda value: value > low, f"above {low}")


def at_least(low: float) -> Rule:
    return Rule(lambda value: value >= low, f"{low} or more")


def between(low: float, high: float) -> Rule:
    return Rule(lambda value: low <= value <= high, f"{low} to {high}")


def above_up_to(low: float, high: float) -> Rule:
    return Rule(lambda value: low < value <= high, f"above {low} and at most {high}")


def inside(low: float, high: float) -> Rule:
    return Rule(lambda value: low < value < high, f"above {low} and below {high}")


def each(rule: Rule) -> Rule:
    return Rule(lambda values: all(rule.holds(value) for value in values), f"a list of values {rule.words}")


not_empty = Rule(lambda values: len(values) > 0, "not empty")

# --- fields -------------------------------------------------------------------------------------------------------------------

REQUIRED: Any = object()


class Field(property):
    """One row of a record's table; on an instance it reads and writes ``__dict__`` under its own name."""

    def __init__(self, kind: Kind, default: Any, factory: Any, check: Optional[Rule], readonly: bool, kw_only: bool, free_setter: bool,
                 init: bool, json: Optional[str], doc: Optional[str]) -> None:
        super().__init__(self._read, None if readonly else self._write, doc=doc)
        self.kind, self.default, self.factory, self.check, self.kw_only = kind, default, factory, check, kw_only
        self.free_setter, self.init, self.json = free_setter, init, json

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.what = name, f"{owner.__qualname__}.{name}"

    def _read(self, record: Any) -> Any:
        value = record.__dict__[self.name]
        return self.kind.give(value) if self.kind.give and value is not None else value

    def _write(self, record: Any, value: Any) -> None:
        self.store(record, value, not self.free_setter)

    def store(self, record: Any, value: Any, checked: bool = True) -> None:
        if value is None and self.default is None:
            record.__dict__[self.name] = None
            return
        stored = self.kind.accept(value, self.what)
        if checked and self.check is not None and not self.check.holds(stored):
            raise InvalidArgumentError(f"{self.what} is {stored!r}, must be {self.check.words}")
        record.__dict__[self.name] = stored

    def store_default(self, record: Any) -> None:
        if self.factory is not None:
            record.__dict__[self.name] = self.factory()
        elif self.default is REQUIRED:
            raise TypeError(f"{type(record).__qualname__}() needs '{self.name}'")
        else:
            record.__dict__[self.name] = self.default


def field(kind: Kind, *, default: Any = REQUIRED, default_factory: Any = None, check: Optional[Rule] = None, readonly: bool = False,
          kw_only: bool = False, free_setter: bool = False, init: bool = True, json: Optional[str] = None, doc: Optional[str] = None) -> Any:
    """A row of the table. ``free_setter``: the rule holds in the constructor only; ``init=False``: no argument of it;
    ``json``: the key in ``to_json_str`` and the like."""
    return Field(kind, default, default_factory, check, readonly, kw_only, free_setter, init, json, doc)


@dataclass_transform(field_specifiers=(field,))
class Record:
    """Base of the classes with a table of fields (``__fields__``)."""

    __fields__: Dict[str, Field] = {}
    __dynamic__ = False
    __aliases__: Dict[str, str] = {}

    def __init_subclass__(cls, dynamic: bool = False, aliases: Optional[Dict[str, str]] = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__fields__ = {**cls.__fields__, **{name: value for name, value in vars(cls).items() if isinstance(value, Field)}}
        cls.__dynamic__ = cls.__dynamic__ or dynamic
        cls.__aliases__ = {**cls.__aliases__, **(aliases or {})}
        for old, new in (aliases or {}).items():
            setattr(cls, old, property(operator.attrgetter(new), lambda record, value, new=new: setattr(record, new, value),
                                       doc=f"The older spelling of ``{new}``."))
        kinds = inspect.Parameter
        parameters = [
            kinds(f.name, kinds.KEYWORD_ONLY if f.kw_only else kinds.POSITIONAL_OR_KEYWORD,
                  default=kinds.empty if f.default is REQUIRED and f.factory is None else f.default if f.factory is None else ...)
            for f in cls.__fields__.values() if f.init
        ]
        parameters.sort(key=lambda p: p.kind)
        if "__init__" not in vars(cls):
            cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # for help()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = [f for f in self.__fields__.values() if f.init]
        positional = [f.name for f in fields if not f.kw_only]
        if len(args) > len(positional):
            raise TypeError(f"{type(self).__qualname__}() takes at most {len(positional)} positional arguments, {len(args)} were given")
        for old, new in self.__aliases__.items():
            if old in kwargs:
                value = kwargs.pop(old)
                if kwargs.get(new) is None and new not in positional[: len(args)]:
                    kwargs[new] = value
        for name, value in zip(positional, args):
            if name in kwargs:
                raise TypeError(f"{type(self).__qualname__}() has two values for '{name}'")
            kwargs[name] = value
        for f in self.__fields__.values():
            if f.init and f.name in kwargs:
                f.store(self, kwargs.pop(f.name))
            else:
                f.store_default(self)
        for name in kwargs:
            raise TypeError(f"{type(self).__qualname__}() has no argument '{name}'")
        self._check()

    def _check(self) -> None:
        """Rules over several fields; called by the constructor."""

    @classmethod
    def _of(cls, **values: Any) -> Any:
        """A record of values that are right already; the rest are defaults."""
        record = object.__new__(cls)
        for f in cls.__fields__.values():
            if f.name not in values:
                f.store_default(record)
        record.__dict__.update(values)
        return record

    def __setattr__(self, name: str, value: Any) -> None:
        if not (self.__dynamic__ or isinstance(getattr(type(self), name, None), property)):
            raise AttributeError(f"'{type(self).__qualname__}' has no attribute '{name}'")
        super().__setattr__(name, value)

    def _copy(self) -> Any:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __eq__(self, other: Any) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(self.__dict__[name], other.__dict__[name]) for name in self.__fields__)

    __hash__ = None  # type: ignore[assignment]  # records change

    def __repr__(self) -> str:
        shown = []
        for name in self.__fields__:
            value = self.__dict__[name]
            if _tensor.is_tensor(value):
                value = f"<tensor {list(_tensor.shape_of(value))}>"
                shown.append(f"{name}={value}")
            else:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__qualname__}({', '.join(shown)})"


def _equal(a: Any, b: Any) -> bool:
    if _tensor.is_tensor(a) and _tensor.is_tensor(b):
        return _tensor.shape_of(a) == _tensor.shape_of(b) and bool((a == b).all())
    if _tensor.is_tensor(a) or _tensor.is_tensor(b):
        return False
    return a == b


def to_json(record: Record) -> Dict[str, Any]:
    """The fields that have a JSON key, by it: enum members by name, records as objects."""
    return {f.json: _json_value(f.__get__(record)) for f in record.__fields__.values() if f.json}


def _json_value(value: Any) -> Any:
    if isinstance(value, Record):
        return to_json(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, list):
        return [_json_value(element) for element in value]
    return value

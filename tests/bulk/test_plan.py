"""The compiled plan says what DRF says: values, types, order, errors and codes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework import VERSION, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import get_error_detail

from django_partstream.bulk import judge
from django_partstream.bulk.compiled import (
    fields,
    moments,
    numbers,
    others,
    reading,
    rules,
    shape,
    sheet,
    texts,
)
from django_partstream.bulk.outcome import row_errors
from django_partstream.bulk.plan import UNSTORABLE, UNSTORABLE_ERROR, Candidate, Plan
from tests.app.models import Account, Sample, Status
from tests.forms import count

from .sink import ABSENT, VALUES, FlatSink, HookedSink, Sink

pytestmark = [pytest.mark.django_db]

CONTEXT = {"request": SimpleNamespace(user="me")}
SINKS = {"plain": Sink, "flat": FlatSink, "hooked": HookedSink}
NAMES = [name for name, field in Sink().fields.items() if not field.read_only]
LOOKED_UP = ("account", "accounts", "status")
ZONES = ["UTC", "America/New_York", "Asia/Kathmandu"]


@pytest.fixture(autouse=True)
def stored() -> None:
    Account.objects.create(pk=1, name="one")
    Account.objects.create(pk=100, name="hundred")
    Status.objects.create(code="open")


def told(value: Any) -> Any:
    """Equal for equal values of equal types in the same order."""
    if isinstance(value, dict):
        return "dict", [(key, told(inner)) for key, inner in value.items()]

    if isinstance(value, list):
        return "list", [told(inner) for inner in value]

    if isinstance(value, models.Model):
        return type(value), value.pk

    return type(value), repr(value)


def only(sink: Any, *names: str) -> Any:
    """The serializer with these fields alone, and those that every row has."""
    wanted = {"needed", "small", "day", "seven", *names}
    others = [name for name in sink._declared_fields if name not in wanted]

    return type(sink.__name__, (sink,), dict.fromkeys(others))


def stock(serializer: Any, row: Any) -> Any:
    """What DRF says of a row."""
    serializer.initial_data = row

    try:
        return told(serializer.run_validation(row))
    except ValidationError as error:
        return row_errors(error.detail)
    except DjangoValidationError as error:
        return row_errors(get_error_detail(error))
    except UNSTORABLE:
        return (UNSTORABLE_ERROR,)
    except Exception as error:
        return type(error)


def planned(plan: Plan, rows: Sequence[Any], *, partial: bool) -> Any:
    """What the plan says of a batch."""
    instance = Sample(pk=1) if partial else None

    try:
        plan.prime(rows)
        candidates = [Candidate(i, row, instance) for i, row in enumerate(rows)]
        verdicts = plan.validate(candidates)
    except Exception as error:
        return type(error)

    assert len(verdicts) == len(rows)

    return [
        told(plan.values(candidate, verdict)) if verdict.is_valid else verdict.errors
        for candidate, verdict in zip(candidates, verdicts, strict=True)
    ]


def plan_for(sink: Any, context: Any = CONTEXT) -> Plan:
    return Plan(
        lambda **options: sink(context=context, **options),
        model=Sample,
        using="default",
    )


def a_row(name: str, value: Any) -> dict[str, Any]:
    row = {"needed": 5, "small": 3, "day": "2024-01-01", name: value}

    return {key: given for key, given in row.items() if given is not ABSENT}


def batches(said: Sequence[tuple[Any, Any]], name: str) -> Iterator[list[int]]:
    """Which rows come together: each by itself, all, and those of one type, which may
    be read as a whole; with nothing, if they are good."""
    yield from ([index] for index in range(len(said)))

    fit = [i for i, (_, expected) in enumerate(said) if not isinstance(expected, type)]
    yield fit

    nothing = [i for i in fit if said[i][0].get(name) is None]

    for kinds in ({bool}, {float}, {int}, {str}, {bool, int}, {float, int, str}):
        same = [i for i in fit if type(said[i][0].get(name)) in kinds]
        good = [i for i in same if said[i][1][0] == "dict"]
        yield from filter(None, (same, good, good + nothing))


def differences(sink: Any, name: str, *, partial: bool = False) -> list[Any]:
    sink = only(sink, name)
    instance = Sample(pk=1) if partial else None
    serializer = sink(instance, data={}, partial=partial, context=CONTEXT)
    rows = [a_row(name, value) for value in VALUES]
    said = [(row, stock(serializer, row)) for row in rows]
    plan = plan_for(sink)
    found = []

    for batch in batches(said, name):
        expected: Any = [said[i][1] for i in batch]

        if len(batch) == 1 and isinstance(expected[0], type):
            (expected,) = expected

        answer = planned(plan, [rows[i] for i in batch], partial=partial)

        if answer != expected:
            found.append(([rows[i] for i in batch], answer, expected))

    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.database] if n in LOOKED_UP else [])
        for n in NAMES
    ],
)
def test_values_at_the_edges_of_every_field(name: str) -> None:
    assert differences(Sink, name) == []


@pytest.mark.parametrize("sink", [FlatSink, HookedSink])
@pytest.mark.parametrize("zone", ZONES[1:])
@pytest.mark.parametrize("name", ["moment", "there", "day", "whole", "small", "seven"])
def test_in_other_zones_and_with_hooks(name: str, zone: str, sink: Any) -> None:
    with timezone.override(zone):
        assert differences(sink, name) == []
        assert differences(sink, name, partial=True) == []


SETTINGS = settings(
    max_examples=count(30, 10_000),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
PLANS: dict[Any, tuple[Plan, Any]] = {}


def prepared(kind: str, zone: str, *, partial: bool) -> tuple[Plan, Any]:
    """A plan and a serializer that serve for many batches."""
    key = kind, zone, partial

    if key not in PLANS:
        sink = SINKS[kind]
        instance = Sample(pk=1) if partial else None
        PLANS[key] = (
            plan_for(sink),
            sink(instance, data={}, partial=partial, context=CONTEXT),
        )

    return PLANS[key]


def rows_of(kind: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    fields = SINKS[kind]().fields.items()
    names = [name for name, field in fields if not field.read_only]
    cell = st.tuples(st.sampled_from(names), st.sampled_from(VALUES))

    def row(cells: list[tuple[str, Any]]) -> dict[str, Any]:
        given = {"needed": 1, **dict(cells)}

        return {name: value for name, value in given.items() if value is not ABSENT}

    return st.lists(st.lists(cell, max_size=4).map(row), min_size=1, max_size=5)


ROWS = {kind: rows_of(kind) for kind in SINKS}


@pytest.mark.database
@pytest.mark.parametrize("kind", SINKS)
@SETTINGS
@given(data=st.data(), zone=st.sampled_from(ZONES), partial=st.booleans())
def test_batches_of_rows_with_several_odd_values(
    kind: str, data: st.DataObject, zone: str, partial: bool
) -> None:
    rows = data.draw(ROWS[kind])

    with timezone.override(zone):
        plan, serializer = prepared(kind, zone, partial=partial)
        expected = [stock(serializer, row) for row in rows]
        fit = [i for i, said in enumerate(expected) if not isinstance(said, type)]

        assert planned(plan, [rows[i] for i in fit], partial=partial) == [
            expected[i] for i in fit
        ]


@pytest.mark.parametrize("row", [None, 5, "x", [], [{"needed": 1}], (), True])
@pytest.mark.parametrize("sink", [FlatSink, HookedSink])
def test_what_is_no_object_is_said_to_be_none(row: Any, sink: Any) -> None:
    sink = only(sink)
    good = {"needed": 1}
    serializer = sink(data={}, context=CONTEXT)

    assert planned(plan_for(sink), [good, row, good], partial=False) == [
        stock(serializer, good),
        stock(serializer, row),
        stock(serializer, good),
    ]


def test_without_a_request_it_fails_as_drf_does() -> None:
    plan = plan_for(Sink, context={})

    assert planned(plan, [], partial=False) == []
    assert planned(plan, [{"needed": 1}], partial=False) is KeyError
    assert stock(Sink(data={}, context={}), {"needed": 1}) is KeyError


@pytest.mark.database
def test_constant_queries_and_no_look_at_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose values are all of the expected kind, and bad ones."""
    plan = plan_for(FlatSink)
    looked: list[Any] = []
    stock_judge = judge.Judge.judge

    def looking(self: judge.Judge, row: Candidate) -> judge.Verdict:
        looked.append(row.place)

        return stock_judge(self, row)

    monkeypatch.setattr(judge.Judge, "judge", looking)
    rows: list[Any] = [
        {"needed": n, "account": 1, "status": "open", "money": "1.50", "name": "abc"}
        for n in range(50)
    ]
    rows[7] = {**rows[7], "account": 2, "status": "shut"}
    rows[9] = {**rows[9], "money": "1.555"}

    with CaptureQueriesContext(connection) as queries:
        plan.prime(rows)
        candidates = [Candidate(i, row) for i, row in enumerate(rows)]
        verdicts = plan.validate(candidates)

    statements = [q for q in queries if "SAVEPOINT" not in q["sql"]]
    # Who compares texts in its own way is asked again for those not found.
    assert len(statements) == (3 if connection.vendor == "mysql" else 2)
    assert looked == [7, 9]
    assert [i for i, verdict in enumerate(verdicts) if not verdict.is_valid] == [7, 9]


class Fault:
    """Something that a plan could get wrong, and the field in which it shows."""

    def __init__(self, field: str, module: Any, name: str, value: Any) -> None:
        self.field = field
        self.module = module
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"{self.module.__name__.rpartition('.')[2]}.{self.name}-{self.field}"


def _careless(value: str) -> Any:
    found = datetime.datetime.fromisoformat(value)

    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _forgetful(name: str) -> Callable[..., Any]:
    """Rules of which one is not kept."""
    stock_rules = rules.rules_of

    def rules_of(field: Any, *, is_text: bool = False) -> Any:
        found = stock_rules(field, is_text=is_text)

        if found is not None:
            setattr(found, name, getattr(rules.Rules(), name))

        return found

    return rules_of


def _reading(**changes: Any) -> Callable[..., Any]:
    def make(**given: Any) -> Any:
        return reading.Reading(**{**given, **changes})

    return make


FAULTS = [
    Fault("whole", reading, "NUMBERS", frozenset({bytes})),
    Fault("ratio", reading, "REPEATABLE", frozenset({*reading.REPEATABLE, float})),
    Fault("whole", numbers, "LARGEST", 10**18),
    Fault("small", numbers, "_bounds", lambda _: (-(10**9), 10**9)),
    Fault("small", numbers, "_integers", lambda *_: {int: list}),
    Fault("whole", numbers, "_null", lambda _: None),
    Fault("share", numbers, "rules_of", _forgetful("highest")),
    Fault("capped", numbers, "rules_of", _forgetful("highest")),
    Fault("ratio", numbers, "math", SimpleNamespace(isfinite=lambda _: True)),
    Fault("name", texts, "rules_of", _forgetful("longest")),
    Fault("name", texts, "rules_of", _forgetful("shortest")),
    Fault("email", texts, "rules_of", _forgetful("calls")),
    Fault("code", texts, "rules_of", _forgetful("calls")),
    Fault("pattern", texts, "rules_of", _forgetful("calls")),
    Fault("note", texts, "_admits", lambda *_: True),
    Fault("note", texts, "_admits_all", lambda *_: True),
    Fault("name", texts, "_admits_all", lambda *_: True),
    Fault("memo", texts, "Reading", _reading(null="")),
    Fault("size", texts, "Reading", _reading(null=None)),
    Fault("moment", moments, "parse_datetime", _careless),
    Fault("local_day", moments, "_is_iso", lambda *_: True),
    Fault("day", moments, "parse_date", lambda v: _careless(v).date()),
    Fault("clock", moments, "parse_time", datetime.time.fromisoformat),
    Fault("span", moments, "rules_of", lambda _: rules.Rules()),
    Fault("v4", others, "_stock", lambda field: field.to_internal_value),
    Fault("some", others, "_null", lambda _: None),
    Fault(
        "numbers", others, "_is_pure", lambda child: setattr(child, "validators", [])
    ),
    Fault("shout", shape, "reading_of", texts.text),
    Fault("seven", shape, "_blank", lambda *_, **__: (shape.Blank.SKIPPED, None)),
    Fault("needed", shape, "_blank", lambda *_, **__: (shape.Blank.SKIPPED, None)),
    Fault("fresh", shape, "callable", lambda _: False),
    Fault("renamed", shape.FieldShape, "source", property(lambda s: s.name)),
    Fault("small", sheet, "Unsure", type(None)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_planted_fault_is_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault.name == "math" and VERSION < "3.18":
        pytest.skip("in this release, DRF takes what is not finite, too")

    monkeypatch.setattr(fault.module, fault.name, fault.value, raising=False)

    assert any(differences(sink, fault.field) for sink in (FlatSink, Sink))


class Counting:
    """A validator with a state of its own."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value: Any) -> None:
        self.calls += 1

        if self.calls % 2 == 0:
            raise ValidationError(f"Call {self.calls}.", code="even")


class Small(serializers.Serializer[Any]):
    a = serializers.IntegerField(min_value=0)
    b = serializers.CharField(required=False, max_length=3)


class OwnInternalValue(Small):
    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({**data, "a": data.get("a", 0)})


class OwnRunValidation(Small):
    def run_validation(self, data: Any = serializers.empty) -> Any:
        return {"own": super().run_validation(data)}


class OwnRunValidators(Small):
    def run_validators(self, value: Any) -> None:
        value["ran"] = True


class OwnEmptyValues(Small):
    def validate_empty_values(self, data: Any) -> Any:
        return (True, {"nothing": 1}) if data == {} else (False, data)


class OwnWritableFields(Small):
    @property
    def _writable_fields(self) -> Any:
        return [self.fields["b"]]


class OwnSetValue(Small):
    def set_value(self, dictionary: Any, keys: Any, value: Any) -> None:
        dictionary["/".join(keys)] = value


class PatchedField(Small):
    def get_fields(self) -> Any:
        fields = super().get_fields()
        vars(fields["a"])["to_internal_value"] = lambda data: f"<{data}>"
        fields["a"].validators = []

        return fields


class OwnValidators(Small):
    class Meta:
        validators = (Counting(),)


class OwnFieldValidators(Small):
    c = serializers.IntegerField(validators=[Counting()], required=False)


class OwnGetValue(Small):
    class Field(serializers.IntegerField):
        def get_value(self, dictionary: Any) -> Any:
            return dictionary.get("b", 0)

    a = Field()


class ReadOnlyDefault(Small):
    seen = serializers.IntegerField(read_only=True, default=3)

    class Meta:
        validators = (lambda attrs: _refuse(attrs.get("seen") == 3 and "b" in attrs),)


class TwoForOne(Small):
    c = serializers.IntegerField(source="a", required=False)


class HookThatReadsTheRow(Small):
    def validate_a(self, value: int) -> int:
        return value + len(self.initial_data.get("b", ""))


class HookThatForgets(Small):
    def validate(self, attrs: Any) -> Any:
        return None if attrs["a"] == 2 else attrs


class LateHook(Small):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["validate_b"] = lambda value: value.upper()


class CountingDefault(Small):
    made: list[int] = []
    n = serializers.IntegerField(default=lambda: _counted(CountingDefault.made))


class OwnContext(Small):
    class Upper(serializers.CharField):
        def run_validation(self, data: Any = serializers.empty) -> Any:
            return f"{self.context['request'].user}: {super().run_validation(data)}"

    b = Upper(required=False)


def _counted(made: list[int]) -> int:
    made.append(1)

    return len(made)


def _refuse(is_wrong: bool) -> None:
    if is_wrong:
        raise ValidationError("Refused.", code="refused")


OVERRIDES = [
    OwnInternalValue,
    OwnRunValidation,
    OwnRunValidators,
    OwnEmptyValues,
    OwnWritableFields,
    OwnSetValue,
    PatchedField,
    OwnValidators,
    OwnFieldValidators,
    OwnGetValue,
    ReadOnlyDefault,
    TwoForOne,
    HookThatReadsTheRow,
    HookThatForgets,
    LateHook,
    CountingDefault,
    OwnContext,
]
FEW: list[dict[str, Any]] = [
    {"a": 1},
    {"a": "2", "b": "xy"},
    {"a": 3, "b": "long"},
    {},
    {"b": 5, "c": 7},
    {"a": -1, "b": "zz", "c": "8"},
    {"a": 4, "b": "q", "c": 9, "n": 0},
]


def restart() -> None:
    CountingDefault.made.clear()
    OwnValidators.Meta.validators[0].calls = 0
    own: Any = OwnFieldValidators._declared_fields["c"]

    for validator in own._kwargs["validators"]:
        validator.calls = 0


def is_heard(sink: Any, *, partial: bool) -> bool:
    instance = Sample(pk=1) if partial else None
    serializer = sink(instance, data={}, partial=partial, context=CONTEXT)
    restart()
    rows = [row for row in FEW if not isinstance(stock(serializer, row), type)]
    restart()
    expected = [stock(serializer, row) for row in rows]
    restart()

    return bool(planned(plan_for(sink), rows, partial=partial) == expected)


@pytest.mark.parametrize("sink", OVERRIDES, ids=lambda sink: sink.__name__)
@pytest.mark.parametrize("partial", [False, True])
def test_whatever_is_overridden_has_its_say(sink: Any, partial: bool) -> None:
    assert is_heard(sink, partial=partial)


@pytest.mark.parametrize(
    ("sink", "module", "name", "fault"),
    [
        (OwnInternalValue, shape, "_is_stock", lambda _: True),
        (OwnRunValidation, shape, "_is_stock", lambda _: True),
        (OwnEmptyValues, shape, "_is_stock", lambda _: True),
        (PatchedField, fields, "is_stock", lambda _: True),
        (HookThatReadsTheRow, shape.Shape, "has_hooks", False),
        (OwnFieldValidators, rules, "PURE", frozenset({*rules.PURE, Counting})),
        (OwnValidators, judge.Judge, "_is_columnar", lambda _: True),
        (ReadOnlyDefault, judge.Judge, "_is_columnar", lambda _: True),
        (CountingDefault, shape, "callable", lambda _: False),
    ],
    ids=str,
)
def test_what_is_not_heard_is_noticed(
    sink: Any, module: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault, raising=False)

    assert not is_heard(sink, partial=False)

"""A serializer with a field of every kind, and values at the edges of each."""

from __future__ import annotations

import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from django.core.validators import MinValueValidator, RegexValidator
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import CreateOnlyDefault, CurrentUserDefault

from tests.app.models import Account, Status

ABSENT: Any = object()


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


def even(value: int) -> None:
    if value % 2:
        raise ValidationError("Odd.", code="odd")


class ShoutField(serializers.CharField):
    """Somebody's own."""

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data).upper()


class PatientField(serializers.IntegerField):
    """Overrides nothing that matters; that cannot be known."""


class Sink(serializers.Serializer[Any]):
    flag = serializers.BooleanField(required=False)
    maybe = serializers.BooleanField(required=False, allow_null=True)
    whole = serializers.IntegerField(required=False)
    small = serializers.IntegerField(required=False, min_value=-3, max_value=32767)
    nullable = serializers.IntegerField(required=False, allow_null=True)
    odd = serializers.IntegerField(required=False, validators=[even])
    big = serializers.BigIntegerField(required=False)
    patient = PatientField(required=False)
    ratio = serializers.FloatField(required=False)
    share = serializers.FloatField(required=False, min_value=0, max_value=1)
    money = serializers.DecimalField(6, 2, required=False)
    capped = serializers.DecimalField(
        6, 2, required=False, allow_null=True, max_value=Decimal("99.5")
    )
    exact = serializers.DecimalField(None, None, required=False)
    local = serializers.DecimalField(6, 2, required=False, localize=True)
    units = serializers.DecimalField(3, 0, required=False)
    fraction = serializers.DecimalField(3, 3, required=False)
    name = serializers.CharField(required=False, max_length=5, min_length=2)
    note = serializers.CharField(required=False, allow_blank=True)
    raw = serializers.CharField(required=False, trim_whitespace=False, max_length=4)
    memo = serializers.CharField(required=False, allow_null=True, allow_blank=True)
    code = serializers.CharField(required=False, validators=[RegexValidator(r"^a")])
    shout = ShoutField(required=False)
    email = serializers.EmailField(required=False)
    slug = serializers.SlugField(required=False, allow_unicode=True)
    ascii = serializers.SlugField(required=False, max_length=6)
    url = serializers.URLField(required=False)
    pattern = serializers.RegexField(r"^[0-9]+$", required=False)
    token = serializers.UUIDField(required=False)
    address = serializers.IPAddressField(required=False)
    v4 = serializers.IPAddressField(required=False, protocol="ipv4")
    colour = serializers.ChoiceField([("r", "Red"), (1, "One")], required=False)
    size = serializers.ChoiceField(
        [(Size.SMALL, "S"), (Size.LARGE, "L")], required=False, allow_blank=True
    )
    choices = serializers.MultipleChoiceField(choices=["a", "b", 3], required=False)
    some = serializers.MultipleChoiceField(
        choices=["a"], required=False, allow_empty=False
    )
    day = serializers.DateField(required=False)
    local_day = serializers.DateField(required=False, input_formats=["%d/%m/%Y"])
    two_days = serializers.DateField(
        required=False, input_formats=["iso-8601", "%d/%m/%Y"]
    )
    clock = serializers.TimeField(required=False)
    moment = serializers.DateTimeField(required=False)
    there = serializers.DateTimeField(
        required=False, default_timezone=datetime.timezone(datetime.timedelta(hours=5))
    )
    span = serializers.DurationField(
        required=False, max_value=datetime.timedelta(days=2)
    )
    json = serializers.JSONField(required=False, allow_null=True)
    packed = serializers.JSONField(required=False, binary=True)
    numbers = serializers.ListField(
        child=serializers.IntegerField(max_value=5), required=False, max_length=2
    )
    anything = serializers.ListField(required=False, allow_empty=False)
    prices = serializers.DictField(child=serializers.DecimalField(4, 1), required=False)
    store = serializers.HStoreField(required=False)
    file = serializers.FileField(required=False)
    account = serializers.PrimaryKeyRelatedField(
        queryset=Account.objects.all(), required=False, allow_null=True
    )
    status = serializers.SlugRelatedField(
        slug_field="code", queryset=Status.objects.all(), required=False
    )
    accounts = serializers.PrimaryKeyRelatedField(
        queryset=Account.objects.all(), many=True, required=False
    )
    dotted = serializers.IntegerField(source="below.deep", required=False)
    renamed = serializers.CharField(source="other", required=False)
    seven = serializers.IntegerField(default=7, max_value=3)
    fresh = serializers.ListField(default=list)
    once = serializers.CharField(default=CreateOnlyDefault("new"))  # type: ignore[arg-type]
    owner = serializers.HiddenField(default=CurrentUserDefault())
    hidden = serializers.HiddenField(default="h")
    shown = serializers.CharField(read_only=True)
    needed = serializers.IntegerField()
    floor = serializers.IntegerField(
        required=False, validators=[MinValueValidator(lambda: 4)]
    )


class HookedSink(Sink):
    """The same, with a say in rows and in fields."""

    def validate_whole(self, value: int) -> int:
        if value == 13:
            raise ValidationError("Unlucky.", code="unlucky")

        return value + 1

    def validate_seven(self, value: int) -> str:
        return f"<{value}>"

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("small") == 3 and "day" not in attrs:
            raise ValidationError({"small": ["Not on no day."]}, code="day")

        if attrs.get("small") == 2:
            raise ValidationError("Never two.")

        return {**attrs, "seen": self.initial_data.get("needed")}


#: Without what needs a look at each row.
FlatSink: Any = type(
    "FlatSink",
    (Sink,),
    dict.fromkeys(
        ("accounts", "dotted", "floor", "fresh", "odd", "once", "patient", "shout")
    ),
)

_NUMBERS: list[Any] = [
    *(0, 1, -1, 2, 3, -3, -4, 13, 100, 32767, 32768, 10**15 - 1, 10**15, 2**63, 10**40),
    *(0.0, -0.0, 1.0, 1.5, -2.5, 1e15, 1e16, 1e22, 1e-7, 1e400, -1e400, float("nan")),
    *("0", "1", "-1", "-0", "007", " 5 ", "5\n", "+5", "1.0", "1.00 ", "1.5", "1.", ""),
    *("1e3", "1_000", "٣", "12³", "0x10", "inf", "nan", "-", "--1", "9" * 15, "9" * 16),
    *("99.5", "99.50", "99.51", "9999.99", "10000", "9999.999", "0.001", "00001.5"),
    *("0.5", "0.123", "0.1234", ".5", "1,5", "1E+2", "-9999.99", "\u00a05", "9" * 1001),
    *("-5.", "100", "999", "1000", "-0.00", "1.0\n", "5\x00"),
]
_TEXTS: list[Any] = [
    *("", " ", "a", "ab", " ab ", "abcde", "abcdef", " abcde ", "a\0b", "a\ud800", "é"),
    *("\u00a0", "\u00a0ab\u2003", "abc ", " abc", "ab\n", "a-b_1", "ab c", "ünïcode"),
    *("x@y.zz", "x@y", "http://a.bc/", "ftp://", "12", "12\n", "r", "s", "l", "null"),
    *("Size.SMALL", "true", "T", "yes", "No", "off", "OFF ", "aé", "😀", "ab\x1c"),
]
_MOMENTS: list[Any] = [
    *("2024-02-29", "2023-02-29", "2024-2-9", "20240229", "2024-W01-1", "29/02/2024"),
    *("2024-01-01T10:00:00Z", "2024-01-01T10:00:00+01:00", "2024-01-01 10:00"),
    *("2024-03-10T02:30:00", "2024-11-03T01:30:00", "2024-01-01T24:00", "20240101T10"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59"),
    *("2024-01-01T10:00:00.123456789Z", "2024-01-01T10:00:00,5", "10:00", "10:00:61"),
    *("10:00Z", "10:00:00.5", "T10:00", "10", "3 days", "P3D", "1:00", "-1 1:00", "90"),
    *("2 00:00:00", "2 00:00:01", "P1Y", "9" * 12, "P9999999999D", "2024-01-01\n"),
    *("0001-01-01T00:00:00", "2024-01-01T10:00:00+00:00:30", "iso-8601"),
]
_OTHERS: list[Any] = [
    *(None, True, False, [], {}, [1], ["a"], ["a", "a", 3], ["b", "x"], [[]], (1, 2)),
    *([1, 2, 3], [6], ["1", True], {"a": 1}, {"a": "1.25"}, {1: "x"}, {"a": None}),
    *("[]", '{"a": 1}', "[1", "{", '"x"', b"x", Decimal("1.10"), object, Size.SMALL),
    *("1.2.3.4", "::1", "::ffff:1.2.3.4", "1.2.3", "1.2.3.4 ", ":::", " ::1 "),
    *("12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678"),
    *("{12345678-1234-5678-1234-567812345678}", "urn:uuid:" + "1" * 32, "g" * 32),
    *(datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), {"a", "b"}),
    *(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(days=1)),
    *({"x": float("nan")}, {"x": object}, "open", "shut", 999_999, ABSENT),
]
#: What every field is tried with.
VALUES = [*_NUMBERS, *_TEXTS, *_MOMENTS, *_OTHERS]

"""What the tests write to: each model has one trait that bulk work must honour."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

#: Texts that differ in case alone are equal. On PostgreSQL, see `apps`.
CASELESS = {
    "django.db.backends.sqlite3": "NOCASE",
    "django.db.backends.postgresql": "caseless",
    "django.db.backends.mysql": "utf8mb4_general_ci",
}[settings.DATABASES["default"]["ENGINE"]]


class Account(models.Model):
    name = models.CharField(max_length=50)
    tenant = models.CharField(max_length=20, default="ours")

    def __str__(self) -> str:
        return self.name


class Status(models.Model):
    code = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.code


class Transaction(models.Model):
    """Two relations, and a key that is one of them with a time."""

    account = models.ForeignKey(Account, models.CASCADE)
    status = models.ForeignKey(Status, models.PROTECT)
    datetime = models.DateTimeField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    description = models.CharField(max_length=200, blank=True)

    class Meta:
        unique_together = [("account", "datetime")]

    def __str__(self) -> str:
        return self.description


class Contract(models.Model):
    """A unique field beside a relation."""

    number = models.CharField(max_length=20, unique=True)
    year = models.PositiveSmallIntegerField()
    amount = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True)

    def __str__(self) -> str:
        return self.number


class Product(models.Model):
    """More than one way to be unique, and a constraint that only the database knows."""

    code = models.CharField(max_length=20, unique=True)
    serial = models.IntegerField(unique=True)
    shelf = models.CharField(max_length=10, default="", blank=True)
    slot = models.IntegerField(null=True, blank=True)
    price = models.IntegerField(default=0)
    tenant = models.CharField(max_length=20, default="ours")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shelf", "slot"], name="one_in_a_slot"),
            models.CheckConstraint(
                condition=models.Q(price__gte=0), name="price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Event(models.Model):
    """Dates that saving sets."""

    name = models.CharField(max_length=50, unique=True)
    place = models.CharField(max_length=50, default="here")
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name


class Shouted(models.Model):
    """Saving does more than store."""

    name = models.CharField(max_length=50, unique=True)
    shout = models.CharField(max_length=50, blank=True)
    times = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.shout = self.name.upper()
        super().save(*args, **kwargs)


class Document(models.Model):
    """A key that Python makes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=50, unique=True)
    pages = models.IntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.title


class Country(models.Model):
    """A text for its key."""

    iso = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Sample(models.Model):
    """Columns of many kinds, some under other names."""

    class Colour(models.TextChoices):
        RED = "r", "Red"
        BLUE = "b", "Blue"

    label = models.CharField(max_length=20, unique=True, db_column="The label")
    colour = models.CharField(max_length=1, choices=Colour, default=Colour.RED)
    extra = models.JSONField(default=dict, blank=True)
    span = models.DurationField(null=True, blank=True)
    is_on = models.BooleanField(default=True)
    maybe = models.BooleanField(null=True, blank=True)
    day = models.DateField(null=True, blank=True)
    clock = models.TimeField(null=True, blank=True)
    ratio = models.FloatField(null=True, blank=True)
    token = models.UUIDField(null=True, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    country = models.ForeignKey(
        Country, models.SET_NULL, null=True, blank=True, db_column="land"
    )
    rank = models.IntegerField(db_default=7)
    note = models.TextField(null=True, blank=True)  # noqa: DJ001

    def __str__(self) -> str:
        return self.label


class Folder(models.Model):
    """A relation to itself."""

    code = models.SlugField(unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True)

    def __str__(self) -> str:
        return self.code


class Nickname(models.Model):
    """A key that the database compares in its own way."""

    name = models.CharField(max_length=20, unique=True, db_collation=CASELESS)
    points = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Place(models.Model):
    """A constraint that no validator knows."""

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=20)

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("name"), name="name_in_any_case"),
        ]

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=20, unique=True)

    def __str__(self) -> str:
        return self.name


class Article(models.Model):
    """Many-to-many."""

    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=50)
    tags = models.ManyToManyField(Tag, blank=True)

    def __str__(self) -> str:
        return self.title


class Person(models.Model):
    """A relation that is the same from both sides, and one with a table of ours."""

    name = models.CharField(max_length=20, unique=True)
    friends = models.ManyToManyField("self", blank=True)
    clubs = models.ManyToManyField(Tag, through="Membership", blank=True)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    person = models.ForeignKey(Person, models.CASCADE)
    club = models.ForeignKey(Tag, models.CASCADE)
    since = models.IntegerField(default=2000)

    def __str__(self) -> str:
        return f"{self.since}"


class Review(Article):
    """More than one table."""

    stars = models.IntegerField(default=0)


class Parcel(models.Model):
    """Values that the database makes."""

    code = models.CharField(max_length=20, unique=True, db_column="the code")
    width = models.IntegerField()
    height = models.IntegerField(db_default=2)
    area = models.GeneratedField(
        expression=models.F("width") * models.F("height"),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    labels = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return self.code


class Seat(models.Model):
    """Nulls that are equal to each other, where the database can say so."""

    hall = models.CharField(max_length=10)
    number = models.IntegerField(null=True, blank=True)
    guest = models.CharField(max_length=20, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hall", "number"], nulls_distinct=False, name="one_guest"
            ),
        ]

    def __str__(self) -> str:
        return self.hall


class Customer(models.Model):
    """Who buys: with `Order` and the next ones, the shop of the guide's dashboards."""

    name = models.CharField(max_length=50)
    joined = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Ware(models.Model):
    name = models.CharField(max_length=50)
    stock = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    total = models.DecimalField(max_digits=10, decimal_places=2)
    placed = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.pk}"


class OrderLine(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    ware = models.ForeignKey(Ware, models.PROTECT)
    amount = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.amount}"


class Post(models.Model):
    """What a user writes: with `Comment` and `Like`, the guide's social dashboard."""

    # Tables without migrations are made before those with some.
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False
    )
    text = models.CharField(max_length=200)
    written = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.text


class Comment(models.Model):
    post = models.ForeignKey(Post, models.CASCADE)
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text


class Like(models.Model):
    post = models.ForeignKey(Post, models.CASCADE)

    def __str__(self) -> str:
        return f"{self.post_id}"


class Follow(models.Model):
    """One user follows another."""

    follower = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="follows",
        db_constraint=False,
    )
    followed = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="followed_by",
        db_constraint=False,
    )

    def __str__(self) -> str:
        return f"{self.follower_id} {self.followed_id}"


class Talk(models.Model):
    """Unique where a condition holds, and for a day or a month."""

    code = models.CharField(max_length=20, unique=True)
    title = models.CharField(max_length=20, unique_for_date="day")
    speaker = models.CharField(max_length=20, unique_for_month="starts")
    day = models.DateField()
    starts = models.DateTimeField()
    hall = models.CharField(max_length=10)
    slot = models.IntegerField(null=True, blank=True)
    is_on = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hall", "slot"],
                condition=models.Q(is_on=True),
                name="one_talk_in_a_slot",
            ),
        ]

    def __str__(self) -> str:
        return self.code

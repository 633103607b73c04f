from __future__ import annotations

from typing import Any

from adrf.serializers import ModelSerializer as AsyncModelSerializer
from rest_framework import serializers

from .models import (
    Account,
    Article,
    Contract,
    Country,
    Document,
    Event,
    Folder,
    Nickname,
    Parcel,
    Person,
    Place,
    Product,
    Review,
    Sample,
    Seat,
    Shouted,
    Status,
    Tag,
    Talk,
    Transaction,
)


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    status = serializers.SlugRelatedField(
        slug_field="code", queryset=Status.objects.all()
    )

    class Meta:
        model = Transaction
        fields = ["id", "account", "status", "datetime", "amount", "description"]


class ContractSerializer(serializers.ModelSerializer[Contract]):
    class Meta:
        model = Contract
        fields = ["id", "number", "year", "amount", "account"]


class AsyncContractSerializer(AsyncModelSerializer):  # type: ignore[misc]
    """adrf's."""

    class Meta:
        model = Contract
        fields = ["id", "number", "year", "amount", "account"]


class OurAccountField(serializers.PrimaryKeyRelatedField[Account]):
    """Accounts of the caller's tenant."""

    def get_queryset(self):
        return Account.objects.filter(tenant=self.context["tenant"])


class TenantContractSerializer(serializers.ModelSerializer[Contract]):
    account = OurAccountField(required=False, allow_null=True)

    class Meta:
        model = Contract
        fields = ["id", "number", "year", "amount", "account"]


class ProductSerializer(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "code", "serial", "shelf", "slot", "price", "tenant"]


class UncheckedProductSerializer(serializers.ModelSerializer[Product]):
    """Knows none of the model's constraints."""

    serial = serializers.IntegerField()

    class Meta:
        model = Product
        fields = ["id", "code", "serial", "shelf", "slot", "price", "tenant"]
        validators: list[Any] = []


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ["id", "name", "place", "created", "changed"]


class ShoutedSerializer(serializers.ModelSerializer[Shouted]):
    class Meta:
        model = Shouted
        fields = ["id", "name", "times"]


class DocumentSerializer(serializers.ModelSerializer[Document]):
    class Meta:
        model = Document
        fields = ["id", "title", "pages"]


class CountrySerializer(serializers.ModelSerializer[Country]):
    class Meta:
        model = Country
        fields = ["iso", "name"]


class SampleSerializer(serializers.ModelSerializer[Sample]):
    class Meta:
        model = Sample
        fields = "__all__"


class FolderSerializer(serializers.ModelSerializer[Folder]):
    parent = serializers.SlugRelatedField(  # type: ignore[assignment]
        slug_field="code",
        queryset=Folder.objects.all(),
        required=False,
        allow_null=True,
    )

    class Meta:
        model = Folder
        fields = ["id", "code", "parent"]


class NicknameSerializer(serializers.ModelSerializer[Nickname]):
    class Meta:
        model = Nickname
        fields = ["id", "name", "points"]


class PlaceSerializer(serializers.ModelSerializer[Place]):
    class Meta:
        model = Place
        fields = ["id", "code", "name"]


class ArticleSerializer(serializers.ModelSerializer[Article]):
    class Meta:
        model = Article
        fields = ["id", "slug", "title", "tags"]


class SluggedArticleSerializer(serializers.ModelSerializer[Article]):
    tags = serializers.SlugRelatedField(
        slug_field="name", queryset=Tag.objects.all(), many=True, required=False
    )

    class Meta:
        model = Article
        fields = ["id", "slug", "title", "tags"]


class OurTagField(serializers.PrimaryKeyRelatedField[Tag]):
    """Tags that the caller may use."""

    def get_queryset(self):
        return Tag.objects.filter(name__startswith=self.context["prefix"])


class OurArticleSerializer(serializers.ModelSerializer[Article]):
    tags = OurTagField(many=True, required=False)

    class Meta:
        model = Article
        fields = ["id", "slug", "title", "tags"]


class LinkedContractSerializer(serializers.HyperlinkedModelSerializer[Contract]):
    url = serializers.HyperlinkedIdentityField(view_name="contracts-detail")
    account = serializers.HyperlinkedRelatedField(
        view_name="accounts-detail",
        queryset=Account.objects.all(),
        required=False,
        allow_null=True,
    )

    class Meta:
        model = Contract
        fields = ["url", "number", "year", "amount", "account"]


class LinkedArticleSerializer(serializers.HyperlinkedModelSerializer[Article]):
    tags = serializers.HyperlinkedRelatedField(
        view_name="tags-detail",
        lookup_field="name",
        queryset=Tag.objects.all(),
        many=True,
        required=False,
    )

    class Meta:
        model = Article
        fields = ["slug", "title", "tags"]


class TagSerializer(serializers.ModelSerializer[Tag]):
    class Meta:
        model = Tag
        fields = ["id", "name"]


class NestedArticleSerializer(serializers.ModelSerializer[Article]):
    """Shows what it does not write."""

    all_tags = TagSerializer(source="tags", many=True, read_only=True)

    class Meta:
        model = Article
        fields = ["id", "slug", "title", "tags", "all_tags"]


class WritableArticleSerializer(serializers.ModelSerializer[Article]):
    """Writes what it shows, in its own way."""

    tags = TagSerializer(many=True)

    class Meta:
        model = Article
        fields = ["id", "slug", "title", "tags"]

    def create(self, validated_data):
        tags = validated_data.pop("tags")
        article = Article.objects.create(**validated_data)
        article.tags.set([Tag.objects.create(**tag) for tag in tags])

        return article

    def update(self, instance, validated_data):
        tags = validated_data.pop("tags", None)
        article = super().update(instance, validated_data)

        if tags is not None:
            article.tags.set([Tag.objects.create(**tag) for tag in tags])

        return article


class ParcelSerializer(serializers.ModelSerializer[Parcel]):
    class Meta:
        model = Parcel
        fields = ["id", "code", "width", "height", "area", "labels"]
        extra_kwargs = {"height": {"required": False}}


class SeatSerializer(serializers.ModelSerializer[Seat]):
    class Meta:
        model = Seat
        fields = ["id", "hall", "number", "guest"]


class PersonSerializer(serializers.ModelSerializer[Person]):
    class Meta:
        model = Person
        fields = ["id", "name", "friends"]


class MemberSerializer(serializers.ModelSerializer[Person]):
    clubs = serializers.PrimaryKeyRelatedField(queryset=Tag.objects.all(), many=True)

    class Meta:
        model = Person
        fields = ["id", "name", "clubs"]


class ReviewSerializer(serializers.ModelSerializer[Review]):
    class Meta:
        model = Review
        fields = ["id", "slug", "title", "stars"]


class TalkSerializer(serializers.ModelSerializer[Talk]):
    class Meta:
        model = Talk
        fields = [f.name for f in Talk._meta.fields]

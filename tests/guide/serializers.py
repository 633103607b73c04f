"""The serializers of the shop and of the social site."""

from __future__ import annotations

from rest_framework import serializers

from tests.app.models import Order, OrderLine, Post, Ware


class OrderSerializer(serializers.ModelSerializer[Order]):
    customer = serializers.CharField(source="customer.name")

    class Meta:
        model = Order
        fields = ["id", "customer", "total"]


class LineSerializer(serializers.ModelSerializer[OrderLine]):
    ware = serializers.CharField(source="ware.name")

    class Meta:
        model = OrderLine
        fields = ["ware", "amount"]


class FullOrderSerializer(OrderSerializer):
    lines = LineSerializer(many=True)

    class Meta(OrderSerializer.Meta):
        fields = ["id", "customer", "total", "lines"]


class WareSerializer(serializers.ModelSerializer[Ware]):
    class Meta:
        model = Ware
        fields = ["name", "stock"]


class PostSerializer(serializers.ModelSerializer[Post]):
    class Meta:
        model = Post
        fields = ["text"]

"""A library: a small source that has every kind of key and link."""

from django.db import models

from reshape.models import Derived


class Author(Derived):
    """A person who wrote a book."""

    code = models.CharField(primary_key=True, max_length=32)
    name = models.CharField(max_length=100)
    mentor = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="pupils"
    )

    class Meta:
        verbose_name_plural = "authors"

    def __str__(self) -> str:
        return self.name


class Book(Derived):
    """A book as the library lists it."""

    code = models.CharField(primary_key=True, max_length=32)
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    added_at = models.DateTimeField(null=True)
    tags = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.title


class Loan(Derived):
    """How often a book was lent on one day."""

    pk = models.CompositePrimaryKey("book", "day")
    book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="loans")
    day = models.DateField()
    loan_count = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.book_id} on {self.day}"

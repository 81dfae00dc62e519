"""Relations both ways, and how many statements they cost."""


def test_links_lead_both_ways(ask, library):
    answer = ask(
        """{ author(code: "ada") {
            mentor { name }
            pupils { name mentor { code } }
            books(order: {title: DESC}) { title author { name } loans { book { code } } }
        } }"""
    )

    assert answer["author"] == {
        "mentor": None,
        "pupils": [
            {"name": "Bob", "mentor": {"code": "ada"}},
            {"name": "Cleo", "mentor": {"code": "ada"}},
        ],
        "books": [
            {"title": "Bees", "author": {"name": "Ada"}, "loans": []},
            {"title": "Ants", "author": {"name": "Ada"}, "loans": [{"book": {"code": "b1"}}] * 3},
        ],
    }


def test_a_link_to_one_leads_back_to_one(ask, garden):
    answer = ask(
        """{ plants { name shelf { level plant { name } } }
             shelves(filters: {plant: {name: {exact: "Aloe"}}}, order: {plant: {name: ASC}}) {
                level
             }
             bare: plants(filters: {NOT: {shelf: {level: {gte: 0}}}}) { name } }"""
    )

    assert answer == {
        "plants": [
            {"name": "Oak", "shelf": None},
            {"name": "Aloe", "shelf": {"level": 1, "plant": {"name": "Aloe"}}},
            {"name": "Kale", "shelf": None},
        ],
        "shelves": [{"level": 1}],
        "bare": [{"name": "Oak"}, {"name": "Kale"}],
    }


def test_a_level_costs_one_statement(ask, library, django_assert_num_queries):
    question = """{
        authors {
            mentor { name }
            books { title author { name } loans { loanCount book { title } } loansCount }
        }
    }"""

    with django_assert_num_queries(7):
        ask(question)


def test_a_level_costs_one_statement_for_each_alias(ask, library, django_assert_num_queries):
    question = """{
        authors {
            name
            cheap: books(filters: {price: {lt: 10}}) { code }
            one: books(order: {title: DESC}, pagination: {limit: 1}) { code }
            second: books(pagination: {offset: 1, limit: 1}) { code }
            ...counts
        }
    }
    fragment counts on Author { booksCount lent: booksCount(filters: {loans: {}}) }"""

    with django_assert_num_queries(6):
        answer = ask(question)

    assert answer["authors"] == [
        {
            "name": "Ada",
            "cheap": [],
            "one": [{"code": "b2"}],
            "second": [{"code": "b2"}],
            "booksCount": 2,
            "lent": 1,
        },
        {
            "name": "Bob",
            "cheap": [{"code": "b3"}, {"code": "b4"}],
            "one": [{"code": "b4"}],
            "second": [{"code": "b4"}],
            "booksCount": 2,
            "lent": 1,
        },
        {"name": "Cleo", "cheap": [], "one": [], "second": [], "booksCount": 0, "lent": 0},
    ]


def test_only_the_selected_columns_are_read(ask, library, django_assert_num_queries):
    with django_assert_num_queries(2) as statements:
        ask("{ books { ... on Book { title } ... @include(if: true) { author { name } } } }")

    first, second = (statement["sql"] for statement in statements.captured_queries)
    assert "author_id" in first
    assert "price" not in first
    assert "mentor_id" not in second


def test_the_same_link_in_two_places_may_select_differently(ask, library):
    answer = ask(
        """{ books(pagination: {limit: 1}) { author { name } writer: author { mentorId code } }
             loans(pagination: {limit: 1}) { book { author { code } } } }"""
    )

    assert answer == {
        "books": [{"author": {"name": "Ada"}, "writer": {"mentorId": None, "code": "ada"}}],
        "loans": [{"book": {"author": {"code": "ada"}}}],
    }


def test_a_row_is_found_by_its_key(ask, library, django_assert_num_queries):
    with django_assert_num_queries(3):
        answer = ask(
            """{ book(code: "b3") { title }
                 loan(bookId: "b3", day: "2026-01-02") { loanCount }
                 none: loan(bookId: "b3", day: "2027-01-02") { loanCount } }"""
        )

    assert answer == {"book": {"title": "Cats"}, "loan": {"loanCount": 20}, "none": None}


def test_every_column_of_a_composite_key_must_be_given(ask, library):
    answer = ask('{ loan(bookId: "b3") { loanCount } }', fails=True)

    assert "day:)' of type 'Date!' is required" in answer.errors[0]

-- Books and their worth per author.
SELECT
    author_id,
    count(*)::INTEGER AS book_count,
    sum(price)        AS price_sum
FROM sample_book
GROUP BY ALL
ORDER BY author_id

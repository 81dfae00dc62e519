-- Sales per shop and day.
-- key: shop, day
SELECT
    shop,
    date_trunc('day', sold_at)::DATE AS day,
    count(*)                         AS sale_count,
    sum(quantity)                    AS quantity,
    sum(price)                       AS price,
    max(price)                       AS price_max
FROM sale
GROUP BY ALL
ORDER BY shop, day

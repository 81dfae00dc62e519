-- What a shop's shelves looked like on a day: how much it sold, and at which prices.
-- key: shop_id, day
SELECT
    shop_id,
    day,
    count(*)::INTEGER    AS item_count,
    min(coins)::INTEGER  AS coins_min,
    round(avg(coins), 2) AS coins_avg,
    max(coins)::INTEGER  AS coins_max
FROM farm_dailyprice
GROUP BY ALL
ORDER BY shop_id, day

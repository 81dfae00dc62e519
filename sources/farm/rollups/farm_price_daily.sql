-- An item's price on a day over all shops, and how far its cheapest offer moved since it was last sold.
-- key: item_id, day
WITH priced AS (
    SELECT
        item_id,
        day,
        count(*)::INTEGER   AS shop_count,
        min(coins)::INTEGER AS coins_min,
        max(coins)::INTEGER AS coins_max
    FROM farm_dailyprice
    GROUP BY ALL
)
SELECT *, coins_min - lag(coins_min) OVER (PARTITION BY item_id ORDER BY day) AS coins_change
FROM priced
ORDER BY item_id, day

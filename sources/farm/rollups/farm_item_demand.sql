-- How much the notice board asks for each item and gives back, and what the shops make of it.
-- key: item_id
WITH required AS (
    SELECT item_id, count(*) AS quest_count, sum(quantity) AS quantity
    FROM farm_questrequirement
    GROUP BY ALL
),
rewarded AS (
    SELECT item_id, sum(quantity) AS quantity
    FROM farm_questreward
    GROUP BY ALL
),
offered AS (
    SELECT item_id, count(*) AS shop_count, min(coins)::INTEGER AS coins_min
    FROM farm_shopprice
    GROUP BY ALL
)
SELECT
    item.slug                                  AS item_id,
    coalesce(required.quest_count, 0)::INTEGER AS quest_count,
    coalesce(required.quantity, 0)::INTEGER    AS required_count,
    coalesce(rewarded.quantity, 0)::INTEGER    AS rewarded_count,
    coalesce(offered.shop_count, 0)::INTEGER   AS shop_count,
    offered.coins_min                          AS coins_min
FROM farm_item AS item
LEFT JOIN required ON required.item_id = item.slug
LEFT JOIN rewarded ON rewarded.item_id = item.slug
LEFT JOIN offered ON offered.item_id = item.slug
ORDER BY item.slug

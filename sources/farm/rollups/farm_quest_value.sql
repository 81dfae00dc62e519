-- Whether a quest pays: the worth of what it asks for against the worth of what it gives.
-- key: quest_id
WITH required AS (
    SELECT quest_id, sum(quantity * base_value) AS worth
    FROM farm_questrequirement JOIN farm_item ON farm_item.slug = item_id
    GROUP BY ALL
),
rewarded AS (
    SELECT quest_id, sum(quantity * base_value) AS worth
    FROM farm_questreward JOIN farm_item ON farm_item.slug = item_id
    GROUP BY ALL
)
SELECT
    quest.slug                                          AS quest_id,
    coalesce(required.worth, 0)::INTEGER                AS required_value,
    (quest.coins + coalesce(rewarded.worth, 0))::INTEGER AS rewarded_value,
    rewarded_value - required_value                     AS profit
FROM farm_quest AS quest
LEFT JOIN required ON required.quest_id = quest.slug
LEFT JOIN rewarded ON rewarded.quest_id = quest.slug
ORDER BY quest.slug

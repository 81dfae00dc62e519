-- Outages seen per city and day (UTC), and the most customers that were out at one time.
-- key: city_id, day
WITH at_once AS (
    SELECT
        city_id,
        seen_at,
        count(*)            AS outage_count,
        sum(customer_count) AS customer_count
    FROM pge_sighting
    JOIN pge_outage ON pge_outage.code = outage_id
    GROUP BY ALL
)
SELECT
    city_id,
    seen_at::DATE                    AS day,
    sum(outage_count)::INTEGER       AS sighting_count,
    sum(customer_count)::BIGINT      AS customer_sighting_count,
    max(outage_count)::INTEGER       AS outage_count_max,
    max(customer_count)::INTEGER     AS customer_count_max
FROM at_once
GROUP BY ALL
ORDER BY city_id, day

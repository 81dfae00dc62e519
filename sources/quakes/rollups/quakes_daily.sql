-- Quakes per day (UTC), with the strongest magnitude. Blasts and other events are left out.
-- key: day
SELECT
    date_trunc('day', occurred_at)::DATE                  AS day,
    count(*)::INTEGER                                     AS quake_count,
    count(*) FILTER (WHERE magnitude >= 4.5)::INTEGER     AS strong_count,
    max(magnitude)                                        AS magnitude_max,
    round(median(depth_km), 2)                            AS depth_km_median,
    sum(coalesce(felt_count, 0))::INTEGER                 AS felt_count
FROM quakes_quake
WHERE kind = 'earthquake'
GROUP BY ALL
ORDER BY day

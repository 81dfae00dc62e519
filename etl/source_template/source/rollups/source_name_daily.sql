-- Readings per station and day (UTC).
-- key: station_id, day
SELECT
    station_id,
    date_trunc('day', taken_at)::DATE AS day,
    count(value)::INTEGER             AS reading_count,
    avg(value)                        AS value_mean,
    max(value)                        AS value_max
FROM source_name_reading
GROUP BY ALL
ORDER BY station_id, day

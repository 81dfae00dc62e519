-- Each currency's rate per month: mean, range, and the last one.
-- key: month, currency_id
SELECT
    date_trunc('month', day)::DATE           AS month,
    currency_id,
    count(*)::INTEGER                        AS day_count,
    avg(per_euro)::DECIMAL(16, 6)            AS per_euro_mean,
    min(per_euro)                            AS per_euro_min,
    max(per_euro)                            AS per_euro_max,
    arg_max(per_euro, day)                   AS per_euro_last
FROM fx_rate
GROUP BY ALL
ORDER BY month, currency_id

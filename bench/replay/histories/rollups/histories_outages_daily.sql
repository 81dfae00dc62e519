-- Outages and reports per day.
-- key: day
SELECT
    date_trunc('day', seen_at)::DATE         AS day,
    count(DISTINCT outage_id)::INTEGER       AS outage_count,
    count(*)::INTEGER                        AS report_count,
    max(customer_count)::INTEGER             AS customer_max
FROM histories_report
GROUP BY ALL
ORDER BY day

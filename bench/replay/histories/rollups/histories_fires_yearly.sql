-- Wildfires and acres per year.
-- key: year
SELECT
    year(started_on)::INTEGER                AS year,
    count(*)::INTEGER                        AS incident_count,
    round(sum(acres), 2)                     AS acres
FROM histories_incident
WHERE started_on IS NOT NULL
GROUP BY ALL
ORDER BY year

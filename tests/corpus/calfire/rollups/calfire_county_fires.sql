-- What burns in each county at the moment. A fire in two counties counts in both.
-- key: county_id
SELECT
    county_id,
    count(*)::INTEGER                                                  AS incident_count,
    sum(coalesce(acres, 0))                                            AS acres,
    count(*) FILTER (WHERE percent_contained < 100)::INTEGER           AS uncontained_count,
    max(updated_on)                                                    AS last_updated_on
FROM calfire_incidentcounty
JOIN calfire_incident ON calfire_incident.code = incident_id
GROUP BY ALL
ORDER BY county_id

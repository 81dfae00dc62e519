-- Loans per day.
-- key: day
-- assert: loan_count >= 0
SELECT
    day,
    sum(loan_count)::BIGINT AS loan_count
FROM sample_loan
GROUP BY ALL
ORDER BY day

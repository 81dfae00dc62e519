"""The frontier: which addresses a crawl has found, has under way, and has archived.

`store` holds the rows, `scope` says what is followed, `links` and `sitemaps` find addresses,
`crawling` asks for them. An extractor says `client.crawl(…)`.
"""

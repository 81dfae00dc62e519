# The program in a container: hashed requirements, an ordinary user, state only in /data.
FROM python:3.11-slim AS packages
COPY requirements/run.txt /tmp/run.txt
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/run.txt

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home rootcellar \
 && install -d -o rootcellar -g rootcellar /data
COPY --from=packages /opt/venv /opt/venv
COPY . /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 ROOTCELLAR_HOME=/data
USER rootcellar
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["sh", "-c", "python manage.py migrate --verbosity 0 && exec uvicorn etl.asgi:application --lifespan on --timeout-graceful-shutdown 5 --host 0.0.0.0 --port 8000"]

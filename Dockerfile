# The worker and the example. Everything that is installed is checked against requirements.txt's
# hashes, and nothing is built. For handlers of your own: FROM this image, COPY them to /app, and
# CMD ["run", "your_module:app"].

FROM python:3.13-slim AS build
RUN pip install --no-cache-dir "uv>=0.9,<1"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1
COPY requirements.txt .
RUN uv venv /venv && uv pip install --python /venv --require-hashes --no-build -r requirements.txt
COPY worker /venv/lib/python3.13/site-packages/worker
# Nobody may write byte code at run time, so that each start would compile the worker once more.
RUN python -m compileall -q /venv/lib/python3.13/site-packages/worker

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home worker
COPY --from=build /venv /venv
WORKDIR /app
COPY examples examples
ENV PATH="/venv/bin:$PATH" PYTHONUNBUFFERED=1
USER 10001
# Drains: nothing more is claimed, running jobs get WORKER_GRACE_PERIOD, the rest goes back. Python
# is the container's first process, with no shell between that would keep the signal to itself.
STOPSIGNAL SIGTERM
# -P: no file in /app replaces a module of the worker or of Python.
ENTRYPOINT ["python", "-P", "-m", "worker"]
CMD ["run", "examples.webhooks:app"]

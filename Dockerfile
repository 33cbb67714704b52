# The page and the HTTP API in a container; the how-to guide for deployment explains how to run it.
FROM python:3.11-slim AS build

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
# requirements.txt installs the package from its folder. Only the files needed for that are copied here, so that changed
# code does not invalidate this layer.
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY malaria_detect/__init__.py malaria_detect/__init__.py
COPY tools/wheel_hook.py tools/wheel_hook.py
# A container trains nothing.
RUN sed -i '/^# Training/,$d' requirements.txt && pip install -r requirements.txt


FROM python:3.11-slim

# HOME, where Jupyter, IPython and matplotlib write, is /tmp: the rest of the file system may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
# The model has a layer of its own, which changed code does not invalidate.
COPY export.* ./
COPY LICENSE dashboard.ipynb voila.json ./
COPY reports/*.json reports/
COPY malaria_detect malaria_detect
# Compiled here, because nothing can be written later.
RUN python -m compileall -q malaria_detect

USER 10001:10001
EXPOSE 8866
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8866/api/health', timeout=4)"]
CMD ["malaria-detect", "serve", "--host", "0.0.0.0", "--port", "8866"]

# The page and the HTTP interface in a container; docs/deployment.md tells how to run it.
FROM python:3.11-slim AS build

# PyTorch's CPU builds: the CUDA builds are several gigabytes larger, and a container has no GPU.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
# requirements.txt installs the package from its folder: so much of it is needed for that, and code that changes later
# leaves this layer as it is.
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY malaria_detect/__init__.py malaria_detect/__init__.py
RUN pip install -r requirements.txt


FROM python:3.11-slim

# HOME and everything that looks for a place of its own (Jupyter, IPython, matplotlib, fastai) is /tmp: nothing else is
# written to, so that the root may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
# A new model is a new layer of its own, and code that changes leaves this one as it is.
COPY export.pkl export.json ./
COPY LICENSE dashboard.ipynb voila.json ./
COPY reports/*.json reports/
COPY malaria_detect malaria_detect
# Compiled here, as nothing can be written later.
RUN python -m compileall -q malaria_detect

USER 10001:10001
EXPOSE 8866
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8866/api/health', timeout=4)"]
CMD ["malaria-detect", "serve", "--host", "0.0.0.0", "--port", "8866"]

# What continuous integration needs, without the sources: they are mounted, and keep their .venv.
#   docker build -f docker/ci.Dockerfile -t handrail-ci .
#   docker run --rm --shm-size=1g -v "$PWD":/src handrail-ci
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git libosmesa6 libusb-1.0-0 make \
    && rm -rf /var/lib/apt/lists/*

ARG UID=1000
RUN useradd --no-log-init --create-home --uid "${UID}" handrail
USER ${UID}
WORKDIR /src
CMD ["make", "test"]

# The GPU's machine. CUDA comes with the wheels of JAX: the host needs NVIDIA's driver (580 or newer for CUDA 13) and
# its container toolkit. From the checkout's root:
#   docker build -f docker/learner.Dockerfile -t handrail-learner .
# JAX=jax gives the same for a machine without a GPU.
FROM python:3.12-slim-bookworm

ARG UID=1000
RUN useradd --no-log-init --create-home --uid "${UID}" handrail && install -d -o handrail /data /data/runs

WORKDIR /opt/handrail
COPY . src
ARG JAX=jax[cuda13]
RUN pip install --no-cache-dir -c src/constraints.txt "./src[learner]" "${JAX}"

ENV HANDRAIL_KEYS=/keys
USER ${UID}
WORKDIR /data
EXPOSE 5555
ENTRYPOINT ["handrail"]
CMD ["learner", "bind=tcp://0.0.0.0:5555"]

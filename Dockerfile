# videojam on a GPU machine. The wheel of torch brings CUDA; the host needs only a driver and the container toolkit.
#   docker build -t videojam .
#   docker run --rm --gpus all --ipc=host -v "$PWD:/work" -v "$HOME/.cache/huggingface:/cache" videojam train recipe.yaml
#   docker run --rm --gpus all --ipc=host -v "$PWD:/work" --entrypoint torchrun videojam --nproc-per-node 8 -m videojam train recipe.yaml
FROM python:3.12-slim

# gcc: torch.compile builds its launchers with it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

ARG EXTRAS="plots,study"
ARG PIP_ARGS=""
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir ${PIP_ARGS} ".[${EXTRAS}]"

# Files that a run writes belong to this user; --user "$(id -u):$(id -g)" makes them yours.
RUN useradd --create-home videojam && mkdir /cache && chmod 777 /cache
USER videojam
ENV HF_HOME=/cache PYTHONUNBUFFERED=1
WORKDIR /work
ENTRYPOINT ["videojam"]
CMD ["--help"]

# The validator as one image: the binary, ffmpeg, and nothing that a validator does not run.
#
#   docker build -t leoma .
#   docker run --env-file .env -v ~/.bittensor/wallets:/wallets:ro -v leoma-state:/state -p 4070:4070/tcp -p 4070:4070/udp leoma
#
# With a GPU add `--gpus all`: the CUDA driver and NVRTC come from the host's container toolkit and the base image below,
# and are loaded at run time, so the same image runs on machines without one.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --package leoma --bin leoma \
    && install -D /target/release/leoma /out/leoma

FROM nvidia/cuda:12.8.1-base-ubuntu24.04
# NVRTC compiles the scoring kernels at run time; the base image has no compiler of its own.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl ffmpeg cuda-nvrtc-12-8 cuda-cudart-dev-12-8 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /state --create-home leoma \
    && install -d -o leoma -g leoma /state
COPY --from=build /out/leoma /usr/local/bin/leoma
USER leoma
ENV LEOMA_STATE_DIR=/state \
    LEOMA_HTTP_LISTEN=0.0.0.0:9090 \
    LOG_FORMAT=json \
    WALLET_PATH=/wallets \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /state
EXPOSE 4070/tcp 4070/udp 9090/tcp
# Graceful shutdown finishes the task in hand within the grace period of `docker stop`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD curl -fsS http://127.0.0.1:9090/livez || exit 1
ENTRYPOINT ["leoma"]
CMD ["serve"]

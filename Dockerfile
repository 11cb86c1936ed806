# The validator as one image: the binary, ffmpeg, and nothing that a validator does not run.
#
#   docker build -t leoma .
#   docker compose up -d          (docker-compose.yml beside this file)
#
# With a GPU the CUDA driver comes from the host's container toolkit, NVRTC from the image, and both
# are loaded at run time: the same image runs on machines without one.

# Pinned by version, so that each release's build takes the security updates of that version. Another
# base, also by its digest, or for machines without a registry: --build-arg BASE=localhost/base.
ARG BUILD_BASE=rust:1.95-bookworm
ARG BASE=nvidia/cuda:12.8.1-base-ubuntu24.04

FROM ${BUILD_BASE} AS build
# The bindings of the runtime below, not of the newest one that the compiler knows.
ENV CUDARC_CUDA_VERSION=12080
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --package leoma --bin leoma \
    && install -D /target/release/leoma /out/leoma

# The decoder, without the drivers that its package brings along.
FROM ${BASE} AS ffmpeg
COPY --chmod=0755 node/deploy/collect-ffmpeg.sh /usr/local/bin/collect-ffmpeg.sh
RUN ls /usr/lib/*-linux-gnu >/known \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && collect-ffmpeg.sh /out /known

# Everything but the binary. A binary that was built outside is added with --target runtime and
# `COPY leoma /usr/local/bin/`; node/deploy/test-image.sh does it.
FROM ${BASE} AS runtime
# Packages of the CUDA compiler; empty for an image that scores on the CPU only.
ARG CUDA_PACKAGES="cuda-nvrtc-12-8 cuda-cudart-dev-12-8"
# util-linux has setpriv, with which the entrypoint drops root. /root may be passed through, so that
# another user reaches the wallets that are mounted below it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates util-linux ${CUDA_PACKAGES} \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 leoma \
    && useradd --system --uid 10001 --gid 10001 --home-dir /state --no-create-home leoma \
    && install -d -o leoma -g leoma /state \
    && chmod 0711 /root
COPY --from=ffmpeg /out /
# A library that is missing or too old ends the build here, not a validator's start.
RUN ldconfig && LD_BIND_NOW=1 ffmpeg -version >/dev/null && LD_BIND_NOW=1 ffprobe -version >/dev/null
COPY --chmod=0755 node/deploy/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV HOME=/root \
    LEOMA_STATE_DIR=/state \
    LEOMA_HTTP_LISTEN=0.0.0.0:9090 \
    LOG_FORMAT=json \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /state
EXPOSE 4070/tcp 4070/udp 9090/tcp
STOPSIGNAL SIGTERM
# It reads LEOMA_HTTP_LISTEN itself, and answers from the first second of a start.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["leoma", "health"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["serve"]

FROM runtime
COPY --from=build /out/leoma /usr/local/bin/leoma

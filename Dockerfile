# One image for every process: the whole system (`banyan`), one module of it (`banyan serve --only catalog …`), the command line.
FROM rust:1.95-trixie AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist -p banyan && install -s target/dist/banyan /usr/local/bin/banyan

FROM debian:trixie-slim
COPY --from=build /usr/local/bin/banyan /usr/local/bin/banyan
# Nobody's password, no shell; the folders for data and for what a service is given belong to it.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin banyan \
    && install -d -o banyan -g banyan -m 0700 /data /join /catalog /ordering
USER 10001
WORKDIR /
ENV BANYAN_DATA__FOLDER=/data
VOLUME /data
EXPOSE 8080 8081
# Whoever runs it decides what is open: inside a container loopback is nobody's.
ENV BANYAN_PUBLIC__LISTEN=0.0.0.0:8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["banyan"]
CMD ["serve"]

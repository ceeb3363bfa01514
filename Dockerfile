# docker build -t lolly .
# docker run -p 8080:8080 -e LOLLY_TARGET=http://app:9000 lolly
# docker run -p 8080:8080 lolly reverse-proxy --from :8080 --to http://app:9000 --admin 8081
#
# Settings of your own: -v ./lolly.toml:/etc/lolly/lolly.toml:ro; the root may be read-only (--read-only). What is to
# outlive the container goes to /var/lib/lolly (state_dir).

FROM python:3.13-slim AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY docs/man docs/man
COPY etc/packaging etc/packaging
COPY twisted twisted
COPY lolly_tx lolly_tx
# twistd's list of plugins is made once, here: who runs it may not write there.
RUN python -m venv /opt/lolly \
    && /opt/lolly/bin/pip install --no-cache-dir '.[acme,auth]' \
    && /opt/lolly/bin/twistd --help > /dev/null

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin lolly \
    && install -d -o lolly -g lolly -m 700 /var/lib/lolly \
    && install -d -o lolly -g lolly -m 755 /run/lolly
COPY --from=build /opt/lolly /opt/lolly
COPY etc/container.toml /etc/lolly/lolly.toml
ENV PATH=/opt/lolly/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/lolly
VOLUME /var/lib/lolly
EXPOSE 8080
# As the process is told to stop; `--stop-signal QUIT` leaves tunnels and downloads their time.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=15s --retries=3 CMD ["lolly", "status"]
ENTRYPOINT ["lolly"]
CMD ["run", "/etc/lolly/lolly.toml"]

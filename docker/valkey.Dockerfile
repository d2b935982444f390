# Valkey with a directory of its own that an unprivileged user may write: the base image prepares its /data as root
# when it starts, which a container without capabilities cannot do.
ARG VALKEY_IMAGE=valkey/valkey:8.1-trixie
FROM ${VALKEY_IMAGE}
RUN mkdir /queue && chown 999:999 /queue
USER 999:999
WORKDIR /queue
VOLUME /queue

# The operator: one static binary and nothing else.
#
# The binary is built beside the image and copied, not compiled in a golang stage: this is the one way
# that is the same with docker, with buildah and without a registry, and it uses the Go build cache.
# `hack/images.sh operator` does both steps. By hand:
#   CGO_ENABLED=0 go build -trimpath -o bin/linux/amd64/operator ./cmd/operator && docker build -t scalableapp/operator:dev .
FROM scratch
ARG TARGETARCH=amd64
COPY bin/linux/${TARGETARCH}/operator /operator
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/operator"]

# make check runs what the gate runs; make test is the newcomer's command.
.PHONY: test check quickstart
test:
	go test ./...
quickstart:
	go run ./examples/quickstart
check:
	bash .ci/run

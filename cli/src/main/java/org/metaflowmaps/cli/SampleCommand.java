package org.metaflowmaps.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(name = "sample")
final class SampleCommand implements Callable<Integer> {
    @Override
    public Integer call() {
        return 1;
    }
}

package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * Sets environment variables that native libraries read while they load; {@link System#getenv} does not show the
 * change.
 */
final class Environment {
    private Environment() {}

    /** Sets a variable for native code unless it has a value (C function {@code setenv}); does nothing on Windows. */
    static void setIfAbsent(String name, String value) {
        set(name, value, 0);
    }

    /** Sets a variable for native code, whatever its value was; does nothing on Windows. */
    static void set(String name, String value) {
        set(name, value, 1);
    }

    private static void set(String name, String value, int overwrite) {
        Optional<MemorySegment> setenv = SymbolLookup.loaderLookup()
                .find("setenv")
                .or(() -> Linker.nativeLinker().defaultLookup().find("setenv"));
        if (setenv.isEmpty()) {
            return;
        }
        MethodHandle call = Linker.nativeLinker()
                .downcallHandle(setenv.get(), FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));
        try (Arena arena = Arena.ofConfined()) {
            var ignored = (int) call.invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), overwrite);
        } catch (Throwable e) {
            throw new AssertionError("setenv takes two strings and a number", e);
        }
    }
}

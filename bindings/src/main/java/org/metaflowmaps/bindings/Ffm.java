package org.metaflowmaps.bindings;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Binds C functions of one library and records them, so that a test can compare them with the shipped library. */
final class Ffm {
    /** A C string, read up to its terminating zero. */
    static final AddressLayout C_STRING =
            ValueLayout.ADDRESS.withTargetLayout(MemoryLayout.sequenceLayout(Long.MAX_VALUE, ValueLayout.JAVA_BYTE));

    private final String library;
    private final SymbolLookup symbols;
    private final Map<String, FunctionDescriptor> bound = new TreeMap<>();

    Ffm(String library, SymbolLookup symbols) {
        this.library = library;
        this.symbols = symbols;
    }

    /** Binds {@code name}; throws {@link NativeLibraryException} with the name if the symbol is missing. */
    MethodHandle bind(String name, FunctionDescriptor type, Linker.Option... options) {
        return find(name, type, options)
                .orElseThrow(() -> new NativeLibraryException(library + " has no function " + name
                        + ": it is not the version that this program was built for"));
    }

    /** Binds {@code name} if the library has it, for functions that some builds leave out. */
    Optional<MethodHandle> find(String name, FunctionDescriptor type, Linker.Option... options) {
        return symbols.find(name).map(address -> {
            synchronized (bound) {
                bound.put(name, type);
            }
            return Linker.nativeLinker().downcallHandle(address, type, options);
        });
    }

    /** Names and descriptors bound so far. */
    Map<String, FunctionDescriptor> bound() {
        synchronized (bound) {
            return Map.copyOf(bound);
        }
    }

    /** For {@code catch (Throwable)} around {@code invokeExact}: C functions throw nothing, so Java code threw this. */
    static AssertionError unexpected(Throwable thrown) {
        if (thrown instanceof Error error) {
            throw error;
        }
        if (thrown instanceof RuntimeException exception) {
            throw exception;
        }
        return new AssertionError(thrown);
    }
}
